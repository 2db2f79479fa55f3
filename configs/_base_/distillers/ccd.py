# Cosine confidence distillation on the copies of joint data augmentation (Li et al., ACCV 2022).
_base_ = ['./jda.py']

model = dict(
    distiller=dict(
        distill_losses=dict(loss_augmented=dict(type='CCDLoss')),
        loss_forward_mappings=dict(
            loss_augmented=dict(clean_preds_T=dict(recorder='logits', from_student=False))
        ),
    )
)
