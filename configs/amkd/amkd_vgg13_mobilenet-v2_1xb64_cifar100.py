_base_ = ['../_base_/pairs/vgg13_mobilenet_v2_cifar100.py', '../_base_/distillers/amkd.py']

model = _base_.pair
