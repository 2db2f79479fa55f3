_base_ = ['../_base_/pairs/resnet50_resnet18_cifar100.py', '../_base_/single_network.py']

model = _base_.pair.teacher
