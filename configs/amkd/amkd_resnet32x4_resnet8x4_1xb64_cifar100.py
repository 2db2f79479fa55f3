_base_ = ['../_base_/pairs/resnet32x4_resnet8x4_cifar100.py', '../_base_/distillers/amkd.py']

model = _base_.pair
