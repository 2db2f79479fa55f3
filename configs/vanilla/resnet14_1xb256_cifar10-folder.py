_base_ = ['../_base_/pairs/resnet26_resnet14_cifar10_folder.py', '../_base_/single_network.py']

model = _base_.pair.architecture
