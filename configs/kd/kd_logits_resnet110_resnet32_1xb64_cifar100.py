_base_ = ['../_base_/pairs/resnet110_resnet32_cifar100.py', '../_base_/distillers/kd.py']

model = _base_.pair
