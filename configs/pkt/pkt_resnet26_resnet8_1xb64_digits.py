_base_ = ['../_base_/pairs/resnet26_resnet8_digits.py', '../_base_/distillers/pkt.py']

model = _base_.pair
