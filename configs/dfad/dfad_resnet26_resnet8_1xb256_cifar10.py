_base_ = [
    '../_base_/datasets/cifar10_bs256.py',
    '../_base_/models/cifar_resnet.py',
    '../_base_/schedules/datafree_cifar_bs256_150e.py',
    '../_base_/distillers/dfad.py',
    '../_base_/default_runtime.py',
]

teacher_ckpt = 'work_dirs/resnet26_1xb256_cifar10/epoch_80.pth'
model = dict(
    architecture=_base_.resnet8,
    teachers=dict(teacher=dict(build_cfg=_base_.resnet26, ckpt_path=teacher_ckpt)),
)
