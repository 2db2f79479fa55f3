_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    '../_base_/models/mmpretrain_resnet_in1k.py',
    '../_base_/schedules/imagenet_bs256_100e.py',
    '../_base_/distillers/msff_resnet50_resnet18.py',
    '../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet18,
    teacher=_base_.resnet50,
    teacher_ckpt=_base_.resnet50_ckpt,
)
