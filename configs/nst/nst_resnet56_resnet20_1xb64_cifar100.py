_base_ = ['../_base_/pairs/resnet56_resnet20_cifar100.py', '../_base_/distillers/nst.py']

model = _base_.pair
