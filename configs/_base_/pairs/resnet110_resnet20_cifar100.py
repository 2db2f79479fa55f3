_base_ = [
    '../datasets/cifar100_bs64.py',
    '../models/cifar_resnet_cifar100.py',
    '../schedules/cifar100_bs64_240e.py',
]

# A config takes this over by `model = _base_.pair`. The checkpoint is the one that
# `configs/vanilla/resnet110_1xb64_cifar100.py` writes.
pair = dict(
    architecture=_base_.resnet20,
    teacher=_base_.resnet110,
    teacher_ckpt='work_dirs/resnet110_1xb64_cifar100/epoch_240.pth',
)
