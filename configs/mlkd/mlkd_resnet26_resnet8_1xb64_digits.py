_base_ = ['../_base_/pairs/resnet26_resnet8_digits.py', '../_base_/distillers/mlkd_digits.py']

model = _base_.pair

# As published, where each image has a copy.
optim_wrapper = dict(optimizer=dict(lr=0.025))
