# AMKD with deep mutual learning instead of KD from a teacher that knows all: both networks begin
# untrained, and the boundary samples are those of `teacher`, whose boundary moves.
_base_ = ['./amkd.py']

model = dict(
    # As in `dml.py`.
    teacher_trainable=True,
    teacher_norm_eval=False,
    distiller=dict(
        distill_losses=dict(
            loss_kl=dict(tau=1),
            loss_teacher_kl=dict(type='KLDivergence', tau=1),
        ),
        loss_forward_mappings=dict(
            loss_teacher_kl=dict(
                preds_S=dict(recorder='logits', from_student=False),
                preds_T=dict(recorder='logits', from_student=True),
            ),
        ),
    ),
)

# What was on the boundary some steps ago need not be there now.
default_hooks = dict(boundary_samples=dict(reuse=1))

# Both networks are results.
test_cfg = dict(type='mmrazor.SingleTeacherDistillTestLoop')
