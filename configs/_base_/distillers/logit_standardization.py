# Logit standardization (Sun et al., CVPR 2024): KL divergence of z-scored logits.
_base_ = ['./kd.py']

model = dict(
    distiller=dict(
        connectors=dict(standardize=dict(type='LogitStandardizationConnector')),
        # Published: temperature 2 and weight 9, constant.
        distill_losses=dict(loss_kl=dict(tau=2, loss_weight=9.0)),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(connector='standardize'), preds_T=dict(connector='standardize')
            )
        ),
    )
)

custom_hooks = []
