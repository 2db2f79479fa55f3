# As the authors' code for ResNet34 and ResNet18 on ImageNet; the weight is constant.
_base_ = ['./dkd.py']

model = dict(distiller=dict(distill_losses=dict(loss_dkd=dict(tau=1, beta=0.5))))

default_hooks = dict(dkd_weight=None)
