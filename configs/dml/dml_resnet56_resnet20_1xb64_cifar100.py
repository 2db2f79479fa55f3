_base_ = ['../_base_/pairs/resnet56_resnet20_cifar100.py', '../_base_/distillers/dml.py']

# Without the checkpoint of the pair: both networks begin untrained.
model = dict(architecture=_base_.pair.architecture, teacher=_base_.pair.teacher)
