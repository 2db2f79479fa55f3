# Temperature and weight of the paper for ImageNet, as in MMRazor.
_base_ = ['./wsld.py']

model = dict(
    distiller=dict(distill_losses=dict(loss_wsld=dict(tau=2, loss_weight=2.5, num_classes=1000)))
)
