_base_ = ['../_base_/pairs/resnet56_resnet20_cifar100.py', '../_base_/distillers/mlkd.py']

model = _base_.pair

# As published, where each image has a copy.
optim_wrapper = dict(optimizer=dict(lr=0.025))
