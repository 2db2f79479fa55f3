# Multi-level logit distillation (Jin et al., CVPR 2023), on the images and on a copy of each by
# RandAugment and Cutout.
_base_ = ['./kd.py', '../augmentations/randaugment_cifar.py']

model = dict(
    # It makes the samples that the hooks ask for.
    type='AMKD',
    # The published weight of the cross entropy is 0.1: `loss_cls` takes its place.
    calculate_student_loss=False,
    distiller=dict(
        student_recorders=dict(labels=dict(type='Labels')),
        # As in the authors' code: 0.9 for all levels, which it halves on the images by a mask, and
        # the divergence alone on the copies.
        distill_losses=dict(
            loss_cls=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=0.1),
            loss_kl=dict(_delete_=True, type='MLKDLoss', taus=[2, 3, 4, 5, 6], loss_weight=0.45),
            loss_augmented_cls=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=0.1),
            loss_augmented=dict(
                type='MLKDLoss',
                taus=[2, 3, 4, 5, 6],
                batch_weight=0.0,
                class_weight=0.0,
                loss_weight=0.9,
            ),
        ),
        # The record of index 1 is that of the copies.
        loss_forward_mappings=dict(
            loss_cls=dict(
                cls_score=dict(recorder='logits', from_student=True),
                label=dict(recorder='labels', from_student=True),
            ),
            loss_augmented_cls=dict(
                cls_score=dict(recorder='logits', from_student=True, record_idx=1),
                label=dict(recorder='labels', from_student=True, record_idx=1),
            ),
            loss_augmented=dict(
                preds_S=dict(recorder='logits', from_student=True, record_idx=1),
                preds_T=dict(recorder='logits', from_student=False, record_idx=1),
            ),
        ),
    ),
)

default_hooks = dict(
    augmented_samples=dict(type='mmrazor.AugmentedSampleHook', transforms=_base_.randaugment_cifar),
)
