_base_ = ['../_base_/pairs/hash_resnet14_resnet8_digits.py', '../_base_/distillers/brcd.py']

model = _base_.pair
default_hooks = dict(code_clusters=dict(dataloader=_base_.database))
