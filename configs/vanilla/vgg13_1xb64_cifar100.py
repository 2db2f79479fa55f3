_base_ = ['../_base_/pairs/vgg13_vgg8_cifar100.py', '../_base_/single_network.py']

model = _base_.pair.teacher
