_base_ = ['../_base_/pairs/resnet26_resnet8_digits.py', '../_base_/distillers/dml.py']

# Without the checkpoint of the pair: both networks begin untrained.
model = dict(architecture=_base_.pair.architecture, teacher=_base_.pair.teacher)
