_base_ = [
    '../datasets/cifar100_bs64.py',
    '../models/vgg_cifar100.py',
    '../models/mobile_cifar100.py',
    '../schedules/cifar100_bs64_240e_mobile.py',
]

# A config takes this over by `model = _base_.pair`. The checkpoint is the one that
# `configs/vanilla/vgg13_1xb64_cifar100.py` writes.
pair = dict(
    architecture=_base_.mobilenet_v2_x0_5,
    teacher=_base_.vgg13,
    teacher_ckpt='work_dirs/vgg13_1xb64_cifar100/epoch_240.pth',
)
