# KD, and TALD (Nguyen-Duc et al., WACV 2023) on particles around the images.
_base_ = ['./kd.py']

model = dict(
    # It makes the samples that the hooks ask for.
    type='AMKD',
    distiller=dict(
        student_recorders=dict(labels=dict(type='Labels')),
        distill_losses=dict(loss_tald=dict(type='TALDLoss')),
        # The record of index 1 is that of the particles.
        loss_forward_mappings=dict(
            loss_tald=dict(
                preds_S=dict(recorder='logits', from_student=True, record_idx=1),
                preds_T=dict(recorder='logits', from_student=False, record_idx=1),
                gt_labels=dict(recorder='labels', from_student=True, record_idx=1),
            )
        ),
    ),
)

default_hooks = dict(local_distribution=dict(type='mmrazor.LocalDistributionHook'))
