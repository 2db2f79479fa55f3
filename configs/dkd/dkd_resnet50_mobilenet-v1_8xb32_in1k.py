_base_ = ['../_base_/pairs/resnet50_mobilenet_v1_in1k.py', '../_base_/distillers/dkd_in1k.py']

model = dict(_base_.pair, distiller=dict(distill_losses=dict(loss_dkd=dict(beta=2))))
