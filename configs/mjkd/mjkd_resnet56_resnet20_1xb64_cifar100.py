_base_ = [
    '../_base_/pairs/resnet56_resnet20_cifar100.py',
    '../_base_/distillers/fitnets.py',
    '../_base_/distillers/mjkd.py',
]

model = _base_.pair

optim_wrapper = _base_.mjkd_optim_wrapper
