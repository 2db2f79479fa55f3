_base_ = ['./wsld.py']

model = dict(distiller=dict(distill_losses=dict(loss_wsld=dict(num_classes=100))))
