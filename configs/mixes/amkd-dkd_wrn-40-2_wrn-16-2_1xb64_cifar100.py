_base_ = [
    '../_base_/pairs/wrn_40_2_wrn_16_2_cifar100.py',
    '../_base_/distillers/amkd_dkd_cifar100.py',
]

model = dict(_base_.pair, distiller=dict(distill_losses=dict(loss_kl=dict(beta=6))))
