_base_ = [
    '../datasets/cifar10_folder_bs256.py',
    '../models/cifar_resnet.py',
    '../schedules/cifar10_bs256_80e.py',
]

# A config takes this over by `model = _base_.pair`. The checkpoint is the one that
# `configs/vanilla/resnet26_1xb256_cifar10-folder.py` writes.
pair = dict(
    architecture=_base_.resnet8,
    teacher=_base_.resnet26,
    teacher_ckpt='work_dirs/resnet26_1xb256_cifar10-folder/epoch_80.pth',
)
