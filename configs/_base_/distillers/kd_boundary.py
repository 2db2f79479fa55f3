# KD on clean samples and on samples at the teacher's decision boundary, which BSS and AMKD find in
# different ways: each adds its `attack`.
_base_ = ['./kd.py']

model = dict(
    # It makes the samples that the hooks ask for.
    type='AMKD',
    distiller=dict(
        # The temperature of BSS.
        distill_losses=dict(loss_boundary=dict(type='KLDivergence', tau=3)),
        loss_forward_mappings=dict(
            # The record of index 1 is that of the boundary samples.
            loss_boundary=dict(
                preds_S=dict(recorder='logits', from_student=True, record_idx=1),
                preds_T=dict(recorder='logits', from_student=False, record_idx=1),
            )
        ),
    ),
)

# As published in BSS: a quarter of the images (64 of 256), and a weight that falls from 2 to 0 at
# three quarters of the training, so that no samples are made after that. KLDivergence multiplies by
# tau^2 and BSS does not: hence the division.
default_hooks = dict(
    boundary_samples=dict(type='mmrazor.BoundarySampleHook', num_samples=0.25, end=0.75),
    boundary_weight=dict(
        type='mmrazor.LossWeightScheduleHook',
        loss='loss_boundary',
        policy='linear',
        start=2 / 3**2,
        stop=0.0,
        end=0.75,
    ),
)
