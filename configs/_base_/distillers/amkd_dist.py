# AMKD with DIST instead of KL divergence on the clean samples.
_base_ = ['./amkd.py']

model = dict(
    distiller=dict(
        # As in `dist.py`.
        distill_losses=dict(loss_kl=dict(_delete_=True, type='DISTLoss', tau=4, loss_weight=2)),
        loss_forward_mappings=dict(
            loss_kl=dict(
                _delete_=True,
                logits_S=dict(recorder='logits', from_student=True),
                logits_T=dict(recorder='logits', from_student=False),
            )
        ),
    )
)
