_base_ = ['../_base_/pairs/resnet56_resnet20_cifar100.py', '../_base_/distillers/byot_cifar100.py']

model = dict(architecture=_base_.pair.architecture)
