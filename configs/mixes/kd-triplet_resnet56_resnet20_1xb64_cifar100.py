_base_ = [
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/models/cifar_resnet_cifar100.py',
    '../_base_/schedules/cifar100_bs64_240e.py',
    '../_base_/distillers/kd_triplet.py',
    '../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet20,
    teacher=_base_.resnet56,
    teacher_ckpt='work_dirs/resnet56_1xb64_cifar100/epoch_240.pth',
)
