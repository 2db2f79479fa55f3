_base_ = [
    '../_base_/pairs/resnet26_wrn_16_2_resnet8_digits.py',
    '../_base_/distillers/amkd.py',
]

model = _base_.pair
