_base_ = ['../_base_/pairs/hash_resnet26_resnet8_digits.py', '../_base_/single_network.py']

model = _base_.pair.architecture
