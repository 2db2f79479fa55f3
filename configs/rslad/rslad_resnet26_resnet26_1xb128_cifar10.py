# Makes a robust teacher of the one of `configs/vanilla`.
_base_ = ['./rslad_resnet26_resnet8_1xb128_cifar10.py']

model = dict(
    architecture=dict(backbone=dict(depth=26)),
    teacher_ckpt='work_dirs/resnet26_1xb256_cifar10/epoch_80.pth',
)
