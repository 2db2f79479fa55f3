# For MMRazor's data-free algorithms, which take a dict of teachers and train a generator, too.
_base_ = [
    '../datasets/cifar10_bs256.py',
    '../models/cifar_resnet.py',
    '../schedules/datafree_cifar_bs256_150e.py',
]

# A config takes this over by `model = _base_.pair`. The checkpoint is the one that
# `configs/vanilla/resnet26_1xb256_cifar10.py` writes.
teacher_ckpt = 'work_dirs/resnet26_1xb256_cifar10/epoch_80.pth'
pair = dict(
    architecture=_base_.resnet8,
    teachers=dict(teacher=dict(build_cfg=_base_.resnet26, ckpt_path=teacher_ckpt)),
)
