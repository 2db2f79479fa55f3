_base_ = ['../_base_/pairs/resnet26_resnet8_cifar10_datafree.py', '../_base_/distillers/zskt.py']

model = _base_.pair
