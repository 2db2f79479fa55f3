_base_ = ['../_base_/pairs/wrn_40_2_shufflenet_v1_cifar100.py', '../_base_/distillers/amkd.py']

model = _base_.pair
