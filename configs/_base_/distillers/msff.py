# Multi-stage feature fusion: both networks' stages are fused and contrasted.
_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
        student_recorders=dict(
            stages=dict(
                type='Stages',
                sources=['backbone.layer1', 'backbone.layer2', 'backbone.layer3'],
            )
        ),
        teacher_recorders=dict(
            stages=dict(
                type='Stages',
                sources=['backbone.layer1', 'backbone.layer2', 'backbone.layer3'],
            )
        ),
        distill_losses=dict(loss_stages=dict(type='StageContrastiveLoss')),
        # `in_channels` are those of CifarResNet's stages.
        connectors=dict(
            student_stages=dict(
                type='FeatureFusionConnector', in_channels=[16, 32, 64], out_channels=64
            ),
            teacher_stages=dict(
                type='FeatureFusionConnector', in_channels=[16, 32, 64], out_channels=64
            ),
        ),
        loss_forward_mappings=dict(
            loss_stages=dict(
                s_features=dict(recorder='stages', from_student=True, connector='student_stages'),
                t_features=dict(recorder='stages', from_student=False, connector='teacher_stages'),
            )
        ),
    )
)
