_base_ = [
    '../_base_/pairs/resnet26_resnet8_cifar10_folder.py',
    '../_base_/distillers/amkd_reuse1.py',
]

model = _base_.pair
