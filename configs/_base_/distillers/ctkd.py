# Curriculum temperature (Li et al., AAAI 2023), the global version: KD at a temperature that learns
# to make the loss large.
_base_ = ['./single_teacher.py']

model = dict(
    # The published weight of the cross entropy is 0.1: `loss_cls` takes its place.
    calculate_student_loss=False,
    distiller=dict(
        student_recorders=dict(logits=dict(type='Logits'), labels=dict(type='Labels')),
        teacher_recorders=dict(logits=dict(type='Logits')),
        # As in the authors' script for ResNet56 and ResNet20 on CIFAR-100: temperatures of 1 to 21.
        distill_losses=dict(
            loss_cls=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=0.1),
            loss_ctkd=dict(type='CTKDLoss', tau_init=1.0, tau_range=20.0, loss_weight=0.9),
        ),
        loss_forward_mappings=dict(
            loss_cls=dict(
                cls_score=dict(recorder='logits', from_student=True),
                label=dict(recorder='labels', from_student=True),
            ),
            loss_ctkd=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
            ),
        ),
    ),
)

# The curriculum: the reversed gradient of the temperature rises over 10 of 240 epochs.
default_hooks = dict(
    ctkd_reversal=dict(
        type='mmrazor.LossWeightScheduleHook',
        loss='loss_ctkd',
        attribute='reversal',
        policy='cosine',
        start=0.0,
        stop=1.0,
        end=10 / 240,
    ),
)
