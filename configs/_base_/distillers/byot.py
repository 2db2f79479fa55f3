# Classifiers on the first stages learn from the last, for CifarResNet on 32x32 images.
_base_ = ['../default_runtime.py']

model = dict(
    _scope_='mmrazor',
    type='SelfDistill',
    distiller=dict(
        type='BYOTDistiller',
        student_recorders=dict(
            stage1=dict(type='ModuleOutputs', source='backbone.layer1'),
            stage2=dict(type='ModuleOutputs', source='backbone.layer2'),
        ),
        # Of the same network, without gradients.
        teacher_recorders=dict(
            logits=dict(type='Logits'),
            embedding=dict(type='Embedding'),
            labels=dict(type='Labels'),
        ),
        # Weights and temperature as in MMRazor. As in the authors' code, the classifier next to
        # the last stage has no loss on its embedding.
        distill_losses=dict(
            loss_embedding1=dict(type='L2Loss', normalize=False, dist=True, loss_weight=0.03),
            loss_label1=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=0.7),
            loss_kl1=dict(type='KLDivergence', tau=3, loss_weight=0.3),
            loss_label2=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=0.7),
            loss_kl2=dict(type='KLDivergence', tau=3, loss_weight=0.3),
        ),
        # They halve a map until it has the size of the last stage's, which `pool_size` averages.
        connectors=dict(
            stage1=dict(
                type='BYOTConnector',
                in_channel=16,
                out_channel=64,
                expansion=1,
                stride=2,
                pool_size=8,
                num_classes=10,
            ),
            stage2=dict(
                type='BYOTConnector',
                in_channel=32,
                out_channel=64,
                expansion=1,
                stride=2,
                pool_size=8,
                num_classes=10,
            ),
        ),
        # A connector gives an embedding, 0, and logits, 1.
        loss_forward_mappings=dict(
            loss_embedding1=dict(
                s_feature=dict(
                    recorder='stage1', from_student=True, connector='stage1', connector_idx=0
                ),
                t_feature=dict(recorder='embedding', from_student=False),
            ),
            loss_label1=dict(
                cls_score=dict(
                    recorder='stage1', from_student=True, connector='stage1', connector_idx=1
                ),
                label=dict(recorder='labels', from_student=False),
            ),
            loss_kl1=dict(
                preds_S=dict(
                    recorder='stage1', from_student=True, connector='stage1', connector_idx=1
                ),
                preds_T=dict(recorder='logits', from_student=False),
            ),
            loss_label2=dict(
                cls_score=dict(
                    recorder='stage2', from_student=True, connector='stage2', connector_idx=1
                ),
                label=dict(recorder='labels', from_student=False),
            ),
            loss_kl2=dict(
                preds_S=dict(
                    recorder='stage2', from_student=True, connector='stage2', connector_idx=1
                ),
                preds_T=dict(recorder='logits', from_student=False),
            ),
        ),
    ),
)

# There is no teacher to validate.
val_cfg = dict()
test_cfg = dict()
