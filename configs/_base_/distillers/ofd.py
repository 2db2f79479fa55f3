_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
        type='OFDDistiller',
        # What enters the last activation of each stage, for ResNet26 and ResNet8.
        student_recorders=dict(
            stage1=dict(type='ModuleInputs', source='backbone.layer1.0.relu'),
            stage2=dict(type='ModuleInputs', source='backbone.layer2.0.relu'),
            stage3=dict(type='ModuleInputs', source='backbone.layer3.0.relu'),
        ),
        teacher_recorders=dict(
            stage1=dict(type='ModuleInputs', source='backbone.layer1.3.relu'),
            stage2=dict(type='ModuleInputs', source='backbone.layer2.3.relu'),
            stage3=dict(type='ModuleInputs', source='backbone.layer3.3.relu'),
        ),
        # Weights of the paper, which halve from stage to stage.
        distill_losses=dict(
            loss_stage1=dict(type='OFDLoss', loss_weight=0.25),
            loss_stage2=dict(type='OFDLoss', loss_weight=0.5),
            loss_stage3=dict(type='OFDLoss', loss_weight=1.0),
        ),
        # Channels of CifarResNet, student and teacher.
        connectors=dict(
            student1=dict(
                type='ConvModuleConnector',
                in_channel=16,
                out_channel=16,
                norm_cfg=dict(type='BN'),
                act_cfg=None,
            ),
            teacher1=dict(type='OFDTeacherConnector'),
            student2=dict(
                type='ConvModuleConnector',
                in_channel=32,
                out_channel=32,
                norm_cfg=dict(type='BN'),
                act_cfg=None,
            ),
            teacher2=dict(type='OFDTeacherConnector'),
            student3=dict(
                type='ConvModuleConnector',
                in_channel=64,
                out_channel=64,
                norm_cfg=dict(type='BN'),
                act_cfg=None,
            ),
            teacher3=dict(type='OFDTeacherConnector'),
        ),
        loss_forward_mappings=dict(
            loss_stage1=dict(
                s_feature=dict(
                    recorder='stage1', from_student=True, data_idx=0, connector='student1'
                ),
                t_feature=dict(
                    recorder='stage1', from_student=False, data_idx=0, connector='teacher1'
                ),
            ),
            loss_stage2=dict(
                s_feature=dict(
                    recorder='stage2', from_student=True, data_idx=0, connector='student2'
                ),
                t_feature=dict(
                    recorder='stage2', from_student=False, data_idx=0, connector='teacher2'
                ),
            ),
            loss_stage3=dict(
                s_feature=dict(
                    recorder='stage3', from_student=True, data_idx=0, connector='student3'
                ),
                t_feature=dict(
                    recorder='stage3', from_student=False, data_idx=0, connector='teacher3'
                ),
            ),
        ),
    ),
)
