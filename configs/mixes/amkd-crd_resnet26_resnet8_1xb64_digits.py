_base_ = ['../_base_/pairs/resnet26_resnet8_digits.py', '../_base_/distillers/amkd_crd.py']

model = dict(
    _base_.pair,
    # Negatives and training images.
    distiller=dict(distill_losses=dict(loss_crd=dict(neg_num=1024, sample_n=1437))),
)
