_base_ = [
    '../datasets/tiny_imagenet_bs256.py',
    '../models/mmpretrain_resnet_tiny_imagenet.py',
    '../models/mobilenet_v2_tiny_imagenet.py',
    '../schedules/tiny_imagenet_bs256_200e.py',
]

# A config takes this over by `model = _base_.pair`. The checkpoint is the one that
# `configs/vanilla/resnet18_1xb256_tiny-imagenet.py` writes.
pair = dict(
    architecture=_base_.mobilenet_v2,
    teacher=_base_.resnet18,
    teacher_ckpt='work_dirs/resnet18_1xb256_tiny-imagenet/epoch_200.pth',
)
