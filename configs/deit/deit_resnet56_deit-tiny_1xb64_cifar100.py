_base_ = ['../_base_/pairs/resnet56_deit-tiny_cifar100.py', '../_base_/distillers/deit.py']

model = _base_.pair
