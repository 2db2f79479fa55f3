# The temperature of the paper on ImageNet.
_base_ = ['./dist.py']

model = dict(distiller=dict(distill_losses=dict(loss_dist=dict(tau=1))))
