_base_ = ['../_base_/pairs/resnet26_resnet8_digits.py', '../_base_/distillers/mtkd_ssr_digits.py']

model = _base_.pair
