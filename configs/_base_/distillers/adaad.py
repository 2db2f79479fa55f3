# Adaptive adversarial distillation (Huang et al., CVPR 2023): the student learns the teacher's
# answers on samples on which the two differ most.
_base_ = ['./single_teacher.py']

model = dict(
    # It makes the samples that the hooks ask for.
    type='AMKD',
    # As published, no label is learned.
    calculate_student_loss=False,
    distiller=dict(
        student_recorders=dict(logits=dict(type='Logits')),
        teacher_recorders=dict(logits=dict(type='Logits')),
        # As the authors' code has it for CIFAR-10, the mean over images and the ten classes.
        distill_losses=dict(loss_adversarial=dict(type='KLDivergence', tau=1, loss_weight=1 / 10)),
        # The record of index 1 is that of the samples.
        loss_forward_mappings=dict(
            loss_adversarial=dict(
                preds_S=dict(recorder='logits', from_student=True, record_idx=1),
                preds_T=dict(recorder='logits', from_student=False, record_idx=1),
            )
        ),
    ),
)

default_hooks = dict(
    adversarial_samples=dict(type='mmrazor.AdversarialSampleHook', teacher_answers='adversarial'),
)
