_base_ = ['../_base_/pairs/resnet26_resnet14_digits.py', '../_base_/distillers/kd.py']

model = _base_.pair
