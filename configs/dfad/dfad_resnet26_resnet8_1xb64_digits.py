_base_ = [
    '../_base_/datasets/digits_bs64.py',
    '../_base_/models/cifar_resnet.py',
    '../_base_/schedules/datafree_digits_bs64_60e.py',
    '../_base_/distillers/dfad.py',
    '../_base_/digits_runtime.py',
]

teacher_ckpt = 'work_dirs/resnet26_1xb64_digits/epoch_12.pth'
model = dict(
    architecture=_base_.resnet8,
    teachers=dict(teacher=dict(build_cfg=_base_.resnet26, ckpt_path=teacher_ckpt)),
    generator=dict(img_size=8),
)
