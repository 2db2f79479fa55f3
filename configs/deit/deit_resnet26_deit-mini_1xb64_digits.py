_base_ = ['../_base_/pairs/resnet26_deit-mini_digits.py', '../_base_/distillers/deit.py']

model = _base_.pair
