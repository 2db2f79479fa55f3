_base_ = ['../_base_/pairs/vgg13_mobilenet_v2_cifar100.py', '../_base_/single_network.py']

model = _base_.pair.architecture
