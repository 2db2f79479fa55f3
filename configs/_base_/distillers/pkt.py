# Probabilistic knowledge transfer (Passalis and Tefas, ECCV 2018), of embeddings of any width.
_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
        student_recorders=dict(embedding=dict(type='Embedding')),
        teacher_recorders=dict(embedding=dict(type='Embedding')),
        # The weight of CRD's benchmark and of mdistiller.
        distill_losses=dict(loss_pkt=dict(type='PKTLoss', loss_weight=30000.0)),
        loss_forward_mappings=dict(
            loss_pkt=dict(
                s_feature=dict(recorder='embedding', from_student=True),
                t_feature=dict(recorder='embedding', from_student=False),
            )
        ),
    ),
)
