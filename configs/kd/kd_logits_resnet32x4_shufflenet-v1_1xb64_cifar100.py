_base_ = ['../_base_/pairs/resnet32x4_shufflenet_v1_cifar100.py', '../_base_/distillers/kd.py']

model = _base_.pair
