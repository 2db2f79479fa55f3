_base_ = [
    '../_base_/datasets/cifar10_folder_device_augment_bs256.py',
    '../_base_/models/cifar_resnet.py',
    '../_base_/schedules/cifar10_bs256_80e.py',
    '../_base_/distillers/amkd.py',
    '../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet8,
    teacher=_base_.resnet26,
    teacher_ckpt='work_dirs/resnet26_1xb256_cifar10-folder/epoch_80.pth',
)
