# As the authors' code on ImageNet, where the weight rises within the first epoch.
_base_ = ['./dkd.py']

model = dict(distiller=dict(distill_losses=dict(loss_dkd=dict(tau=1, beta=0.5))))

custom_hooks = []
