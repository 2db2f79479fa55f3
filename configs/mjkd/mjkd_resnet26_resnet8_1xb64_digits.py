_base_ = [
    '../_base_/pairs/resnet26_resnet8_digits.py',
    '../_base_/distillers/fitnets.py',
    '../_base_/distillers/mjkd.py',
]

model = _base_.pair

optim_wrapper = _base_.mjkd_optim_wrapper
