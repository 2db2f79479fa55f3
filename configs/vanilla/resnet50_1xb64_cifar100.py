_base_ = [
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/models/mmpretrain_resnet_cifar100.py',
    '../_base_/schedules/cifar100_bs64_240e.py',
    '../_base_/default_runtime.py',
]

model = _base_.resnet50

val_cfg = dict()
test_cfg = dict()
