_base_ = [
    '../datasets/tiny_imagenet_bs128.py',
    '../models/cifar_resnet_tiny_imagenet.py',
    '../schedules/tiny_imagenet_bs128_100e.py',
]

# A config takes this over by `model = _base_.pair`. The checkpoint is the one that
# `configs/vanilla/resnet56_1xb128_tiny-imagenet.py` writes.
pair = dict(
    architecture=_base_.resnet20,
    teacher=_base_.resnet56,
    teacher_ckpt='work_dirs/resnet56_1xb128_tiny-imagenet/epoch_100.pth',
)
