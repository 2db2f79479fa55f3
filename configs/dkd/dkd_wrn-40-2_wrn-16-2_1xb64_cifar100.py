_base_ = ['../_base_/pairs/wrn_40_2_wrn_16_2_cifar100.py', '../_base_/distillers/dkd.py']

model = dict(_base_.pair, distiller=dict(distill_losses=dict(loss_dkd=dict(beta=6))))
