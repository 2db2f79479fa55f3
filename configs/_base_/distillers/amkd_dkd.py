# AMKD with DKD instead of KL divergence on the clean samples.
_base_ = ['./amkd.py']

model = dict(
    distiller=dict(
        # As in `dkd.py`, without the rise over the first epochs.
        distill_losses=dict(
            loss_kl=dict(
                _delete_=True, type='DKDLoss', tau=4, alpha=1, beta=2, reduction='batchmean'
            )
        ),
        loss_forward_mappings=dict(
            loss_kl=dict(gt_labels=dict(recorder='labels', from_student=True))
        ),
    )
)
