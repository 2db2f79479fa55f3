_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
        student_recorders=dict(logits=dict(type='Logits'), labels=dict(type='Labels')),
        teacher_recorders=dict(logits=dict(type='Logits')),
        # Temperature and weight of the paper for CIFAR-100. MMRazor's number of classes is 1000
        # otherwise.
        distill_losses=dict(loss_wsld=dict(type='WSLD', tau=4, loss_weight=2.25, num_classes=10)),
        loss_forward_mappings=dict(
            loss_wsld=dict(
                student=dict(recorder='logits', from_student=True),
                teacher=dict(recorder='logits', from_student=False),
                gt_labels=dict(recorder='labels', from_student=True),
            )
        ),
    ),
)
