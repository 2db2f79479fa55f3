# Logit standardization (Sun et al., CVPR 2024): KL divergence of z-scored logits.
_base_ = ['./kd.py']

model = dict(
    distiller=dict(
        connectors=dict(standardize=dict(type='LogitStandardizationConnector')),
        # Published: temperature 2 and weight 9.
        distill_losses=dict(loss_kl=dict(tau=2, loss_weight=9.0)),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(connector='standardize'), preds_T=dict(connector='standardize')
            )
        ),
    )
)

# Ours: the weight rises over the first twelfth, much as that of DKD. The logits of an untrained
# student hardly vary, and z-scores divide by how much they do: gradients that can kill its units.
default_hooks = dict(
    kl_weight=dict(
        type='mmrazor.LossWeightScheduleHook',
        loss='loss_kl',
        policy='linear',
        start=9 / 20,
        stop=9.0,
        end=1 / 12,
    ),
)
