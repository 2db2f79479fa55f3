# Makes a robust teacher of the one of `configs/vanilla`.
_base_ = ['../_base_/pairs/resnet26_resnet8_digits.py', '../_base_/distillers/rslad_digits.py']

model = dict(_base_.pair, architecture=_base_.pair.teacher)
