_base_ = ['../_base_/pairs/resnet32x4_resnet8x4_cifar100.py', '../_base_/distillers/dkd.py']

model = dict(_base_.pair, distiller=dict(distill_losses=dict(loss_dkd=dict(beta=8))))
