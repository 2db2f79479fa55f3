# Deep mutual learning (Zhang et al., CVPR 2018): two untrained networks teach each other.
_base_ = ['./kd.py']

model = dict(
    # The second network is trained as the student is, with its batch norm.
    teacher_trainable=True,
    teacher_norm_eval=False,
    distiller=dict(
        # Temperature and weight are the published ones. Each loss trains its `preds_S` alone.
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

# Both networks are results.
test_cfg = dict(type='mmrazor.SingleTeacherDistillTestLoop')
