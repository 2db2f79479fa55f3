# KD, and cosine confidence distillation (Li et al., ACCV 2022) on augmented copies.
_base_ = ['./kd.py']

model = dict(
    # It makes the samples that the hooks ask for.
    type='AMKD',
    distiller=dict(
        distill_losses=dict(loss_ccd=dict(type='CCDLoss', tau=3)),
        # The record of index 1 is that of the copies.
        loss_forward_mappings=dict(
            loss_ccd=dict(
                preds_S=dict(recorder='logits', from_student=True, record_idx=1),
                preds_T=dict(recorder='logits', from_student=False, record_idx=1),
                clean_preds_T=dict(recorder='logits', from_student=False),
            )
        ),
    ),
)

# MMPretrain's RandAugment with its usual policies, two of them at 9 of 10.
default_hooks = dict(
    augmented_samples=dict(
        type='mmrazor.AugmentedSampleHook',
        transforms=[
            dict(
                type='RandAugment',
                policies='timm_increasing',
                num_policies=2,
                magnitude_level=9,
            )
        ],
    ),
)
