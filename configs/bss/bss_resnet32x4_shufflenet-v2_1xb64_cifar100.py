_base_ = ['../_base_/pairs/resnet32x4_shufflenet_v2_cifar100.py', '../_base_/distillers/bss.py']

model = _base_.pair
