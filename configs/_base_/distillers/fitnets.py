# KD, and hints: the student's last two stages, by a 1x1 convolution, match those of the teacher.
_base_ = ['./kd.py']

model = dict(
    distiller=dict(
        student_recorders=dict(
            hint1=dict(type='ModuleOutputs', source='backbone.layer2'),
            hint2=dict(type='ModuleOutputs', source='backbone.layer3'),
        ),
        teacher_recorders=dict(
            hint1=dict(type='ModuleOutputs', source='backbone.layer2'),
            hint2=dict(type='ModuleOutputs', source='backbone.layer3'),
        ),
        # Weight and normalised maps as in MMRazor.
        distill_losses=dict(
            loss_hint1=dict(type='L2Loss', loss_weight=10),
            loss_hint2=dict(type='L2Loss', loss_weight=10),
        ),
        # Channels of CifarResNet, student and teacher.
        connectors=dict(
            hint1=dict(
                type='ConvModuleConnector',
                in_channel=32,
                out_channel=32,
                norm_cfg=dict(type='BN'),
            ),
            hint2=dict(
                type='ConvModuleConnector',
                in_channel=64,
                out_channel=64,
                norm_cfg=dict(type='BN'),
            ),
        ),
        loss_forward_mappings=dict(
            loss_hint1=dict(
                s_feature=dict(recorder='hint1', from_student=True, connector='hint1'),
                t_feature=dict(recorder='hint1', from_student=False),
            ),
            loss_hint2=dict(
                s_feature=dict(recorder='hint2', from_student=True, connector='hint2'),
                t_feature=dict(recorder='hint2', from_student=False),
            ),
        ),
    )
)
