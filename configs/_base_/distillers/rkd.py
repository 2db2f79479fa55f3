# The embeddings may be of different width: only distances and angles between them are compared.
_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
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
