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

# Both weights rise as in `logit_standardization.py`.
default_hooks = dict(
    kl_weight=dict(
        type='mmrazor.LossWeightScheduleHook',
        loss='loss_kl',
        policy='linear',
        start=9 / 20,
        stop=9.0,
        end=1 / 12,
    ),
    boundary_weight=dict(start=4.5 / 20, stop=4.5, end=1 / 12),
)
