_base_ = ['../_base_/pairs/resnet26_resnet8_digits.py', '../_base_/distillers/review_kd.py']

model = _base_.pair
