# For MMRazor's data-free algorithms, which take a dict of teachers and train a generator, too.
_base_ = [
    '../datasets/digits_bs64.py',
    '../models/cifar_resnet.py',
    '../schedules/datafree_digits_bs64_60e.py',
]

# A config takes this over by `model = _base_.pair`. The checkpoint is the one that
# `configs/vanilla/resnet26_1xb64_digits.py` writes.
teacher_ckpt = 'work_dirs/resnet26_1xb64_digits/epoch_12.pth'
pair = dict(
    architecture=_base_.resnet8,
    teachers=dict(teacher=dict(build_cfg=_base_.resnet26, ckpt_path=teacher_ckpt)),
)

# A fixed seed lets the figures in the documentation be had again.
randomness = dict(seed=0)
