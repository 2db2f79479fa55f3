_base_ = [
    '../_base_/pairs/resnet26_resnet8_digits_datafree.py',
    '../_base_/distillers/zskt_digits.py',
]

model = _base_.pair
