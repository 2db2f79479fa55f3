_base_ = ['../_base_/pairs/resnet18_mobilenet_v2_tiny_imagenet.py', '../_base_/distillers/bss.py']

model = _base_.pair
