# KD on the images, and on a copy of each by joint data augmentation (Li et al., ACCV 2022).
_base_ = ['./kd.py', '../augmentations/jda_cifar10.py']

model = dict(
    # It makes the samples that the hooks ask for.
    type='AMKD',
    distiller=dict(
        student_recorders=dict(labels=dict(type='Labels')),
        # As on the images, where the temperature is the published one, too. Published are means
        # over images and copies, of which these are four times, and equal weights of both losses.
        distill_losses=dict(
            loss_augmented=dict(type='KLDivergence', tau=4),
            loss_augmented_cls=dict(type='mmpretrain.CrossEntropyLoss'),
        ),
        # The record of index 1 is that of the copies.
        loss_forward_mappings=dict(
            loss_augmented=dict(
                preds_S=dict(recorder='logits', from_student=True, record_idx=1),
                preds_T=dict(recorder='logits', from_student=False, record_idx=1),
            ),
            loss_augmented_cls=dict(
                cls_score=dict(recorder='logits', from_student=True, record_idx=1),
                label=dict(recorder='labels', from_student=True, record_idx=1),
            ),
        ),
    ),
)

default_hooks = dict(
    augmented_samples=dict(type='mmrazor.AugmentedSampleHook', transforms=_base_.jda_cifar10),
)
