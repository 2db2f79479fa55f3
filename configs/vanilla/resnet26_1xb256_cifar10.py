_base_ = ['../_base_/pairs/resnet26_resnet8_cifar10.py', '../_base_/single_network.py']

model = _base_.pair.teacher
