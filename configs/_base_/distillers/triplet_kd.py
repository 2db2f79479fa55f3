# Triplet loss for knowledge distillation (arXiv 2004.08116): beside the task loss and the KL
# divergence of temperature 1, as published, all constant.
_base_ = ['./kd.py']

model = dict(
    distiller=dict(
        student_recorders=dict(labels=dict(type='Labels')),
        distill_losses=dict(loss_kl=dict(tau=1), loss_triplet=dict(type='TripletKDLoss')),
        loss_forward_mappings=dict(
            loss_triplet=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
                gt_labels=dict(recorder='labels', from_student=True),
            )
        ),
    )
)
