_base_ = [
    '../_base_/pairs/resnet56_resnet20_cifar100.py',
    '../_base_/distillers/mtkd_ssr_cifar100.py',
]

model = _base_.pair
