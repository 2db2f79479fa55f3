_base_ = ['../_base_/pairs/resnet50_vgg8_cifar100.py', '../_base_/distillers/bss.py']

model = _base_.pair
