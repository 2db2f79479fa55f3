model = dict(
    _scope_='mmrazor',
    # Without boundary samples this is MMRazor's SingleTeacherDistill.
    type='AMKD',
    distiller=dict(
        type='ConfigurableDistiller',
        student_recorders=dict(logits=dict(type='Logits')),
        teacher_recorders=dict(logits=dict(type='Logits')),
        # The weight is the paper's for both parts, the temperature that for CIFAR-100.
        distill_losses=dict(loss_dist=dict(type='DISTLoss', tau=4, loss_weight=2)),
        loss_forward_mappings=dict(
            loss_dist=dict(
                logits_S=dict(recorder='logits', from_student=True),
                logits_T=dict(recorder='logits', from_student=False),
            )
        ),
    ),
)

val_cfg = dict(type='mmrazor.SingleTeacherDistillValLoop')
test_cfg = dict()
