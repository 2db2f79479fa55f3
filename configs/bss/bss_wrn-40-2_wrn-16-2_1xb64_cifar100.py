_base_ = ['../_base_/pairs/wrn_40_2_wrn_16_2_cifar100.py', '../_base_/distillers/bss.py']

model = _base_.pair
