# Robust soft labels (Zi et al., ICCV 2021): the teacher's answers on clean images are what the
# student learns on these, and on adversarial samples of its own.
_base_ = ['./single_teacher.py']

model = dict(
    # It makes the samples that the hooks ask for.
    type='AMKD',
    # As published, no label is learned.
    calculate_student_loss=False,
    distiller=dict(
        student_recorders=dict(logits=dict(type='Logits')),
        teacher_recorders=dict(logits=dict(type='Logits')),
        # 1/6 and 5/6 of what the authors' code has, the mean over images and the ten classes.
        distill_losses=dict(
            loss_kl=dict(type='KLDivergence', tau=1, loss_weight=1 / 60),
            loss_adversarial=dict(type='KLDivergence', tau=1, loss_weight=5 / 60),
        ),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
            ),
            # Of the student the record of the samples, of the teacher that of the clean images.
            loss_adversarial=dict(
                preds_S=dict(recorder='logits', from_student=True, record_idx=1),
                preds_T=dict(recorder='logits', from_student=False),
            ),
        ),
    ),
)

default_hooks = dict(
    adversarial_samples=dict(type='mmrazor.AdversarialSampleHook', teacher_answers='clean'),
)
