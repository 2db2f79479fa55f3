# Feature fusion-based collaborative learning (Li et al., 2021): deep mutual learning, a classifier
# of the maps of both networks that teaches both, and a virtual teacher.
_base_ = ['./dml.py']

model = dict(
    distiller=dict(
        student_recorders=dict(
            last=dict(type='ModuleOutputs', source='backbone.layer3'),
            labels=dict(type='Labels'),
        ),
        teacher_recorders=dict(last=dict(type='ModuleOutputs', source='backbone.layer3')),
        # Channels of CifarResNet's last stage. The temperature of the virtual teacher is that of
        # its paper, its weight is ours.
        distill_losses=dict(
            loss_fusion=dict(
                type='FeatureFusionLoss',
                student_channels=64,
                teacher_channels=64,
                num_classes=10,
            ),
            loss_virtual=dict(type='KLDivergence', tau=20, loss_weight=0.1),
            loss_teacher_virtual=dict(type='KLDivergence', tau=20, loss_weight=0.1),
        ),
        connectors=dict(virtual_teacher=dict(type='VirtualTeacherConnector', num_classes=10)),
        loss_forward_mappings=dict(
            loss_fusion=dict(
                s_feature=dict(recorder='last', from_student=True),
                t_feature=dict(recorder='last', from_student=False),
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
                gt_labels=dict(recorder='labels', from_student=True),
            ),
            loss_virtual=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='labels', from_student=True, connector='virtual_teacher'),
            ),
            loss_teacher_virtual=dict(
                preds_S=dict(recorder='logits', from_student=False),
                preds_T=dict(recorder='labels', from_student=True, connector='virtual_teacher'),
            ),
        ),
    ),
)
