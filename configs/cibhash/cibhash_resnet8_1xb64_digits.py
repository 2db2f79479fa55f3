_base_ = ['../_base_/pairs/hash_resnet14_resnet8_digits.py', '../_base_/single_network.py']

model = _base_.pair.architecture
