_base_ = [
    '../datasets/cifar100_bs64.py',
    '../models/wrn_cifar100.py',
    '../schedules/cifar100_bs64_240e.py',
]

# A config takes this over by `model = _base_.pair`. The checkpoint is the one that
# `configs/vanilla/wrn-40-2_1xb64_cifar100.py` writes.
pair = dict(
    architecture=_base_.wrn_16_2,
    teacher=_base_.wrn_40_2,
    teacher_ckpt='work_dirs/wrn-40-2_1xb64_cifar100/epoch_240.pth',
)
