# The four stages of ResNet18 on 224x224 images of 1,000 classes.
_base_ = ['./byot.py']

model = dict(
    distiller=dict(
        student_recorders=dict(stage3=dict(type='ModuleOutputs', source='backbone.layer3')),
        distill_losses=dict(
            loss_embedding2=dict(type='L2Loss', normalize=False, dist=True, loss_weight=0.03),
            loss_label3=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=0.7),
            loss_kl3=dict(type='KLDivergence', tau=3, loss_weight=0.3),
        ),
        connectors=dict(
            stage1=dict(in_channel=64, out_channel=512, pool_size=7, num_classes=1000),
            stage2=dict(in_channel=128, out_channel=512, pool_size=7, num_classes=1000),
            stage3=dict(
                type='BYOTConnector',
                in_channel=256,
                out_channel=512,
                expansion=1,
                stride=2,
                pool_size=7,
                num_classes=1000,
            ),
        ),
        loss_forward_mappings=dict(
            loss_embedding2=dict(
                s_feature=dict(
                    recorder='stage2', from_student=True, connector='stage2', connector_idx=0
                ),
                t_feature=dict(recorder='embedding', from_student=False),
            ),
            loss_label3=dict(
                cls_score=dict(
                    recorder='stage3', from_student=True, connector='stage3', connector_idx=1
                ),
                label=dict(recorder='labels', from_student=False),
            ),
            loss_kl3=dict(
                preds_S=dict(
                    recorder='stage3', from_student=True, connector='stage3', connector_idx=1
                ),
                preds_T=dict(recorder='logits', from_student=False),
            ),
        ),
    )
)
