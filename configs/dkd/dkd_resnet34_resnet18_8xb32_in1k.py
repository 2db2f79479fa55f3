_base_ = ['../_base_/pairs/resnet34_resnet18_in1k.py', '../_base_/distillers/dkd_in1k.py']

model = _base_.pair
