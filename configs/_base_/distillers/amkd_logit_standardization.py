# AMKD with standardised logits in both KL divergences.
_base_ = ['./amkd.py']

model = dict(
    distiller=dict(
        connectors=dict(standardize=dict(type='LogitStandardizationConnector')),
        # As in `logit_standardization.py` on the clean samples, half of it on boundary samples, as
        # BSS begins with half the weight there.
        distill_losses=dict(
            loss_kl=dict(tau=2, loss_weight=9.0), loss_boundary=dict(tau=2, loss_weight=4.5)
        ),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(connector='standardize'), preds_T=dict(connector='standardize')
            ),
            loss_boundary=dict(
                preds_S=dict(connector='standardize'), preds_T=dict(connector='standardize')
            ),
        ),
    )
)

# Boundary samples, and both weights rise as in `logit_standardization.py`.
rise = dict(type='mmrazor.LossWeightScheduleHook', policy='linear', end=1 / 12)
custom_hooks = [
    _base_.custom_hooks[0],
    dict(rise, loss='loss_kl', start=9 / 20, stop=9.0),
    dict(rise, loss='loss_boundary', start=4.5 / 20, stop=4.5),
]
