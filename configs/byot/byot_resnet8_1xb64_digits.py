_base_ = ['../_base_/pairs/resnet26_resnet8_digits.py', '../_base_/distillers/byot_digits.py']

model = dict(architecture=_base_.pair.architecture)
