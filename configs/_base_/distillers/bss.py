# Boundary samples by BSS's own attack, from images that both networks get right and on which they
# differ most.
_base_ = ['./kd_boundary.py']

model = dict(distiller=dict(distill_losses=dict(loss_kl=dict(tau=3))))

default_hooks = dict(
    boundary_samples=dict(
        attack=dict(type='BSSAttack'),
        base='discrepancy',
        student_correct=True,
        keep_unreached=True,
    ),
    # As published, from 4 to 1. KLDivergence multiplies by tau^2 and BSS does not: hence the
    # divisions.
    kl_weight=dict(
        type='mmrazor.LossWeightScheduleHook',
        loss='loss_kl',
        policy='linear',
        start=4 / 3**2,
        stop=1 / 3**2,
    ),
)
