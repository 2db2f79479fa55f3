_base_ = [
    '../datasets/cifar100_bs64.py',
    '../models/mmpretrain_resnet_cifar100.py',
    '../models/vgg_cifar100.py',
    '../schedules/cifar100_bs64_240e.py',
]

# A config takes this over by `model = _base_.pair`. The checkpoint is the one that
# `configs/vanilla/resnet50_1xb64_cifar100.py` writes.
pair = dict(
    architecture=_base_.vgg8,
    teacher=_base_.resnet50,
    teacher_ckpt='work_dirs/resnet50_1xb64_cifar100/epoch_240.pth',
)
