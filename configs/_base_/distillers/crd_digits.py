# So many negatives as suit the 1,437 training images of Digits.
_base_ = ['./crd.py']

model = dict(distiller=dict(distill_losses=dict(loss_crd=dict(neg_num=1024, sample_n=1437))))
