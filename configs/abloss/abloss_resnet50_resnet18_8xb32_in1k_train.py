_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    '../_base_/models/mmpretrain_resnet_in1k.py',
    '../_base_/schedules/imagenet_bs256_100e.py',
    '../_base_/distillers/abloss.py',
    '../_base_/default_runtime.py',
]

first_stage = 'work_dirs/abloss_resnet50_resnet18_8xb32_in1k_pretrain/epoch_20.pth'
model = dict(
    architecture=_base_.resnet18,
    teacher=_base_.resnet50,
    teacher_ckpt=_base_.resnet50_ckpt,
    init_cfg=dict(checkpoint=first_stage),
)
