_base_ = [
    '../_base_/pairs/resnet56_resnet20_cifar100.py',
    '../_base_/distillers/review_kd_resnet56_resnet20.py',
]

model = _base_.pair
