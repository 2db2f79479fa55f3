_base_ = ['../_base_/pairs/resnet26_resnet8_digits_datafree.py', '../_base_/distillers/dafl.py']

model = dict(_base_.pair, generator=dict(img_size=8))
