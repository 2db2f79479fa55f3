# What makes each of two untrained networks the other's teacher. A config takes it over by
# `model = _base_.mutual_learning`, beside a distiller with KD.
mutual_learning = dict(
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
