_base_ = ['./kd.py']

model = dict(
    distiller=dict(
        distill_losses=dict(loss_kl=dict(tau=3), loss_boundary=dict(type='KLDivergence', tau=3)),
        loss_forward_mappings=dict(
            # The record of index 1 is that of the boundary samples.
            loss_boundary=dict(
                preds_S=dict(recorder='logits', from_student=True, record_idx=1),
                preds_T=dict(recorder='logits', from_student=False, record_idx=1),
            )
        ),
    ),
)

# As published: a quarter of the images (64 of 256), and weights that fall, on clean samples from 4
# to 1, on boundary samples from 2 to 0 at three quarters of the training, so that none are made
# after that. KLDivergence multiplies by tau^2 and BSS does not: hence the divisions.
custom_hooks = [
    dict(
        type='mmrazor.BoundarySampleHook',
        attack=dict(type='BSSAttack'),
        num_samples=0.25,
        base='discrepancy',
        student_correct=True,
        keep_unreached=True,
        end=0.75,
    ),
    dict(
        type='mmrazor.LossWeightScheduleHook',
        loss='loss_kl',
        policy='linear',
        start=4 / 3**2,
        stop=1 / 3**2,
    ),
    dict(
        type='mmrazor.LossWeightScheduleHook',
        loss='loss_boundary',
        policy='linear',
        start=2 / 3**2,
        stop=0.0,
        end=0.75,
    ),
]
