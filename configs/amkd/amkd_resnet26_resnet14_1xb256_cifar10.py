_base_ = ['../_base_/pairs/resnet26_resnet14_cifar10.py', '../_base_/distillers/amkd.py']

model = _base_.pair
