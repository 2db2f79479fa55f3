# AMKD with DKD as in `dkd.py`, whose weight rises over the first epochs: on CIFAR-100 the weight of
# the classes that are not the label is up to 8.
_base_ = ['./amkd_dkd.py']

default_hooks = dict(
    kl_weight=dict(
        type='mmrazor.LossWeightScheduleHook',
        loss='loss_kl',
        policy='linear',
        start=1 / 20,
        stop=1.0,
        end=19 / 240,
    ),
)
