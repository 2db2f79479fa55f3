_base_ = ['../_base_/pairs/hash_resnet14_resnet8_digits.py', '../_base_/single_network.py']

model = _base_.pair.teacher

# A teacher has more time than its student.
param_scheduler = dict(T_max=20)
train_cfg = dict(max_epochs=20)
