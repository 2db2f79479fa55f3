# Variational information distillation (Ahn et al., CVPR 2019), of the maps of three stages.
_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
        student_recorders=dict(
            stage1=dict(type='ModuleOutputs', source='backbone.layer1'),
            stage2=dict(type='ModuleOutputs', source='backbone.layer2'),
            stage3=dict(type='ModuleOutputs', source='backbone.layer3'),
        ),
        teacher_recorders=dict(
            stage1=dict(type='ModuleOutputs', source='backbone.layer1'),
            stage2=dict(type='ModuleOutputs', source='backbone.layer2'),
            stage3=dict(type='ModuleOutputs', source='backbone.layer3'),
        ),
        # Weight 1 and the stages of CRD's benchmark and of mdistiller. Channels of CifarResNet.
        distill_losses=dict(
            loss_stage1=dict(type='VIDLoss', student_channels=16, teacher_channels=16),
            loss_stage2=dict(type='VIDLoss', student_channels=32, teacher_channels=32),
            loss_stage3=dict(type='VIDLoss', student_channels=64, teacher_channels=64),
        ),
        loss_forward_mappings=dict(
            loss_stage1=dict(
                s_feature=dict(recorder='stage1', from_student=True),
                t_feature=dict(recorder='stage1', from_student=False),
            ),
            loss_stage2=dict(
                s_feature=dict(recorder='stage2', from_student=True),
                t_feature=dict(recorder='stage2', from_student=False),
            ),
            loss_stage3=dict(
                s_feature=dict(recorder='stage3', from_student=True),
                t_feature=dict(recorder='stage3', from_student=False),
            ),
        ),
    ),
)
