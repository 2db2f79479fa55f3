_base_ = [
    '../_base_/datasets/digits_bs64.py',
    '../_base_/models/cifar_resnet.py',
    '../_base_/schedules/digits_bs64_12e.py',
    '../_base_/distillers/fitnets.py',
    '../_base_/digits_runtime.py',
]

model = dict(
    architecture=_base_.resnet8,
    teacher=_base_.resnet26,
    teacher_ckpt='work_dirs/resnet26_1xb64_digits/epoch_12.pth',
)
