_base_ = [
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/models/cifar_resnet_cifar100.py',
    '../_base_/schedules/datafree_cifar_bs256_150e.py',
    '../_base_/distillers/dfad.py',
    '../_base_/default_runtime.py',
]

teacher_ckpt = 'work_dirs/resnet56_1xb64_cifar100/epoch_240.pth'
model = dict(
    architecture=_base_.resnet20,
    teachers=dict(teacher=dict(build_cfg=_base_.resnet56, ckpt_path=teacher_ckpt)),
)

# As the schedule counts; also the number of images that the generator makes in a step.
train_dataloader = dict(batch_size=256)
