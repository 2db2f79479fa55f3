# As the authors' code for ResNet56 and ResNet20 on CIFAR-100.
_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
        student_recorders=dict(logits=dict(type='Logits'), labels=dict(type='Labels')),
        teacher_recorders=dict(logits=dict(type='Logits')),
        # MMRazor sums over the batch unless `amkd_mm.compat` makes `reduction` count.
        distill_losses=dict(
            loss_dkd=dict(type='DKDLoss', tau=4, alpha=1, beta=2, reduction='batchmean')
        ),
        loss_forward_mappings=dict(
            loss_dkd=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
                gt_labels=dict(recorder='labels', from_student=True),
            )
        ),
    ),
)

# From 1/20 in the first epoch to 1 in the 20th of 240.
default_hooks = dict(
    dkd_weight=dict(
        type='mmrazor.LossWeightScheduleHook',
        loss='loss_dkd',
        policy='linear',
        start=1 / 20,
        stop=1.0,
        end=19 / 240,
    ),
)
