# BSS, and TALD: two hooks have samples made, each with records of its own.
_base_ = ['./bss.py']

model = dict(
    distiller=dict(
        student_recorders=dict(labels=dict(type='Labels')),
        distill_losses=dict(loss_tald=dict(type='TALDLoss')),
        # The record of index 1 is that of the boundary samples, of index 2 that of the particles.
        loss_forward_mappings=dict(
            loss_tald=dict(
                preds_S=dict(recorder='logits', from_student=True, record_idx=2),
                preds_T=dict(recorder='logits', from_student=False, record_idx=2),
                gt_labels=dict(recorder='labels', from_student=True, record_idx=2),
            )
        ),
    )
)

# The samples of a base's hook come first.
default_hooks = dict(local_distribution=dict(type='mmrazor.LocalDistributionHook'))
