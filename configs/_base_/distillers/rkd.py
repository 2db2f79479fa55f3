# The embeddings may be of different width: only distances and angles between them are compared.
model = dict(
    _scope_='mmrazor',
    # Without boundary samples this is MMRazor's SingleTeacherDistill.
    type='AMKD',
    distiller=dict(
        type='ConfigurableDistiller',
        student_recorders=dict(embedding=dict(type='Embedding')),
        teacher_recorders=dict(embedding=dict(type='Embedding')),
        # Weights of the paper; normalised embeddings as in MMRazor.
        distill_losses=dict(
            loss_distance=dict(type='DistanceWiseRKD', with_l2_norm=True, loss_weight=25),
            loss_angle=dict(type='AngleWiseRKD', with_l2_norm=True, loss_weight=50),
        ),
        loss_forward_mappings=dict(
            loss_distance=dict(
                preds_S=dict(recorder='embedding', from_student=True),
                preds_T=dict(recorder='embedding', from_student=False),
            ),
            loss_angle=dict(
                preds_S=dict(recorder='embedding', from_student=True),
                preds_T=dict(recorder='embedding', from_student=False),
            ),
        ),
    ),
)

val_cfg = dict(type='mmrazor.SingleTeacherDistillValLoop')
test_cfg = dict()
