# Multi-target distillation by student self-reflection (Gou et al., IJCV 2023), for CifarResNet on
# 32x32 images: channels and answers of the stages, and a review of each stage by the next.
_base_ = ['./kd.py']

# Channels of CifarResNet. A classifier halves a map until it has the size of the last stage's,
# which `pool_size` averages.
_classifier1 = dict(
    type='BYOTConnector',
    in_channel=16,
    out_channel=64,
    expansion=1,
    stride=2,
    pool_size=8,
    num_classes=10,
)
_classifier2 = dict(_classifier1, in_channel=32)

# The logits of a stage's classifier, 1 of what it gives.
_student1 = dict(recorder='stage1', from_student=True, connector='student1', connector_idx=1)
_student2 = dict(recorder='stage2', from_student=True, connector='student2', connector_idx=1)
_teacher1 = dict(recorder='stage1', from_student=False, connector='teacher1', connector_idx=1)
_teacher2 = dict(recorder='stage2', from_student=False, connector='teacher2', connector_idx=1)

model = dict(
    distiller=dict(
        student_recorders=dict(
            stage1=dict(type='ModuleOutputs', source='backbone.layer1'),
            stage2=dict(type='ModuleOutputs', source='backbone.layer2'),
            stage3=dict(type='ModuleOutputs', source='backbone.layer3'),
            labels=dict(type='Labels'),
        ),
        teacher_recorders=dict(
            stage1=dict(type='ModuleOutputs', source='backbone.layer1'),
            stage2=dict(type='ModuleOutputs', source='backbone.layer2'),
            stage3=dict(type='ModuleOutputs', source='backbone.layer3'),
        ),
        # The answer of the last stage is that of the network: `loss_kl` of KD.
        distill_losses=dict(
            loss_channels1=dict(type='ChannelWiseDivergence', tau=4),
            loss_channels2=dict(type='ChannelWiseDivergence', tau=4),
            loss_channels3=dict(type='ChannelWiseDivergence', tau=4),
            loss_label1=dict(type='mmpretrain.CrossEntropyLoss'),
            loss_label2=dict(type='mmpretrain.CrossEntropyLoss'),
            loss_teacher_label1=dict(type='mmpretrain.CrossEntropyLoss'),
            loss_teacher_label2=dict(type='mmpretrain.CrossEntropyLoss'),
            loss_response1=dict(type='KLDivergence', tau=4),
            loss_response2=dict(type='KLDivergence', tau=4),
            loss_review1=dict(type='KLDivergence', tau=4),
            loss_review2=dict(type='KLDivergence', tau=4),
        ),
        connectors=dict(
            align1=dict(type='FeatureAlignConnector', in_channels=16, out_channels=16),
            align2=dict(type='FeatureAlignConnector', in_channels=32, out_channels=32),
            align3=dict(type='FeatureAlignConnector', in_channels=64, out_channels=64),
            student1=_classifier1,
            student2=_classifier2,
            teacher1=_classifier1,
            teacher2=_classifier2,
        ),
        loss_forward_mappings=dict(
            loss_channels1=dict(
                preds_S=dict(recorder='stage1', from_student=True, connector='align1'),
                preds_T=dict(recorder='stage1', from_student=False),
            ),
            loss_channels2=dict(
                preds_S=dict(recorder='stage2', from_student=True, connector='align2'),
                preds_T=dict(recorder='stage2', from_student=False),
            ),
            loss_channels3=dict(
                preds_S=dict(recorder='stage3', from_student=True, connector='align3'),
                preds_T=dict(recorder='stage3', from_student=False),
            ),
            loss_label1=dict(cls_score=_student1, label=dict(recorder='labels', from_student=True)),
            loss_label2=dict(cls_score=_student2, label=dict(recorder='labels', from_student=True)),
            loss_teacher_label1=dict(
                cls_score=_teacher1, label=dict(recorder='labels', from_student=True)
            ),
            loss_teacher_label2=dict(
                cls_score=_teacher2, label=dict(recorder='labels', from_student=True)
            ),
            loss_response1=dict(preds_S=_student1, preds_T=_teacher1),
            loss_response2=dict(preds_S=_student2, preds_T=_teacher2),
            loss_review1=dict(preds_S=_student1, preds_T=_student2),
            loss_review2=dict(
                preds_S=_student2,
                preds_T=dict(recorder='logits', from_student=True),
            ),
        ),
    ),
)
