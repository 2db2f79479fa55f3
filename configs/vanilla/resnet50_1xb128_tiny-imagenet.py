_base_ = [
    '../_base_/datasets/tiny_imagenet_bs128.py',
    '../_base_/models/mmpretrain_resnet_tiny_imagenet.py',
    '../_base_/schedules/tiny_imagenet_bs128_100e.py',
    '../_base_/default_runtime.py',
]

model = _base_.resnet50

val_cfg = dict()
test_cfg = dict()
