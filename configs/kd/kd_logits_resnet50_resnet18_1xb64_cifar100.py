_base_ = [
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/models/mmpretrain_resnet_cifar100.py',
    '../_base_/schedules/cifar100_bs64_240e.py',
    '../_base_/distillers/kd.py',
    '../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet18,
    teacher=dict(cfg_path='mmpretrain::resnet/resnet50_8xb16_cifar100.py', pretrained=False),
    teacher_ckpt='work_dirs/resnet50_1xb64_cifar100/epoch_240.pth',
)
