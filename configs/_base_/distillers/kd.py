_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
        student_recorders=dict(logits=dict(type='Logits')),
        teacher_recorders=dict(logits=dict(type='Logits')),
        distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=3)),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
            )
        ),
    ),
)

# The weight falls from 4 to 1, as in BSS (Heo et al., AAAI 2019). KLDivergence multiplies by
# tau^2 and BSS does not: hence the division.
custom_hooks = [
    dict(
        type='mmrazor.LossWeightScheduleHook',
        loss='loss_kl',
        policy='linear',
        start=4 / 3**2,
        stop=1 / 3**2,
    ),
]
