_base_ = ['../_base_/pairs/vgg13_vgg8_cifar100.py', '../_base_/distillers/dkd.py']

model = dict(_base_.pair, distiller=dict(distill_losses=dict(loss_dkd=dict(beta=6))))
