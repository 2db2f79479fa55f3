_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
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
