# What the losses of the maps of three stages read: the record of each, of student and teacher.
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
