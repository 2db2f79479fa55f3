_base_ = [
    '../_base_/datasets/tiny_imagenet_bs128.py',
    '../_base_/models/cifar_resnet_tiny_imagenet.py',
    '../_base_/schedules/tiny_imagenet_bs128_100e.py',
    '../_base_/distillers/bss.py',
    '../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet20,
    teacher=_base_.resnet56,
    teacher_ckpt='work_dirs/resnet56_1xb128_tiny-imagenet/epoch_100.pth',
)
