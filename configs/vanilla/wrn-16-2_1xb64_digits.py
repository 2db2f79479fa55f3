_base_ = ['../_base_/pairs/resnet26_wrn_16_2_resnet8_digits.py', '../_base_/single_network.py']

model = _base_.pair.teacher.members.wrn_16_2
