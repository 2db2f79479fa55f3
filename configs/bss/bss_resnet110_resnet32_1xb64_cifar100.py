_base_ = ['../_base_/pairs/resnet110_resnet32_cifar100.py', '../_base_/distillers/bss.py']

model = _base_.pair
