_base_ = [
    '../_base_/pairs/resnet32x4_resnet8x4_cifar100.py',
    '../_base_/distillers/amkd_dkd_cifar100.py',
]

model = dict(_base_.pair, distiller=dict(distill_losses=dict(loss_kl=dict(beta=8))))
