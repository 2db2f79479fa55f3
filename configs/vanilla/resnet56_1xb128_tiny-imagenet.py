_base_ = ['../_base_/pairs/resnet56_resnet20_tiny_imagenet.py', '../_base_/single_network.py']

model = _base_.pair.teacher
