_base_ = ['../_base_/pairs/resnet26_resnet8_digits.py', '../_base_/distillers/amkd_dml.py']

# Without the checkpoint of the pair: both networks begin untrained. The boundary is that of
# `teacher`: with the two networks exchanged it is that of the other.
model = dict(architecture=_base_.pair.architecture, teacher=_base_.pair.teacher)
