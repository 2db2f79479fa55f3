_base_ = [
    '../datasets/digits_bs64.py',
    '../models/cifar_resnet.py',
    '../schedules/digits_bs64_12e.py',
]

# A config takes this over by `model = _base_.pair`. The checkpoint is the one that
# `configs/vanilla/resnet26_1xb64_digits.py` writes.
pair = dict(
    architecture=_base_.resnet8,
    teacher=_base_.resnet26,
    teacher_ckpt='work_dirs/resnet26_1xb64_digits/epoch_12.pth',
)

# A fixed seed lets the figures in the documentation be had again.
randomness = dict(seed=0)
