model = dict(
    _scope_='mmrazor',
    # Without boundary samples this is MMRazor's SingleTeacherDistill, and refuses a teacher
    # checkpoint that does not fit.
    type='AMKD',
    distiller=dict(
        type='ConfigurableDistiller',
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

# Validates the student and the teacher.
val_cfg = dict(type='mmrazor.SingleTeacherDistillValLoop')
test_cfg = dict()
