# KD with AMKD's triplet loss on clean samples: no boundary samples, and so at the cost of KD.
_base_ = ['./kd.py']

model = dict(
    distiller=dict(
        student_recorders=dict(embedding=dict(type='Embedding'), labels=dict(type='Labels')),
        distill_losses=dict(loss_triplet=dict(type='TripletDistillLoss')),
        loss_forward_mappings=dict(
            # Each sample is an anchor, and also one of its own positives, at distance 0.
            loss_triplet=dict(
                anchor=dict(recorder='embedding', from_student=True),
                anchor_labels=dict(recorder='labels', from_student=True),
                reference=dict(recorder='embedding', from_student=True),
                reference_labels=dict(recorder='labels', from_student=True),
            )
        ),
    )
)
