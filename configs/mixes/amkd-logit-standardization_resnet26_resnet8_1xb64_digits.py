_base_ = [
    '../_base_/pairs/resnet26_resnet8_digits.py',
    '../_base_/distillers/amkd_logit_standardization.py',
]

model = _base_.pair
