_base_ = ['../_base_/pairs/resnet50_mobilenet_v1_in1k.py', '../_base_/distillers/bss.py']

model = _base_.pair
