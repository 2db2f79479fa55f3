_base_ = [
    '../datasets/cifar100_bs64.py',
    '../models/cifar_resnet_cifar100.py',
    '../models/mobile_cifar100.py',
    '../schedules/cifar100_bs64_240e_mobile.py',
]

# A config takes this over by `model = _base_.pair`. The checkpoint is the one that
# `configs/vanilla/resnet32x4_1xb64_cifar100.py` writes.
pair = dict(
    architecture=_base_.shufflenet_v2,
    teacher=_base_.resnet32x4,
    teacher_ckpt='work_dirs/resnet32x4_1xb64_cifar100/epoch_240.pth',
)
