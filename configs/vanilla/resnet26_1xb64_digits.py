_base_ = [
    '../_base_/datasets/digits_bs64.py',
    '../_base_/models/cifar_resnet.py',
    '../_base_/schedules/digits_bs64_12e.py',
    '../_base_/digits_runtime.py',
]

model = _base_.resnet26

val_cfg = dict()
test_cfg = dict()
