# The fourth stage of the ResNets for ImageNet.
_base_ = ['./at.py']

model = dict(
    distiller=dict(
        student_recorders=dict(stage4=dict(type='ModuleOutputs', source='backbone.layer4')),
        teacher_recorders=dict(stage4=dict(type='ModuleOutputs', source='backbone.layer4')),
        distill_losses=dict(loss_stage4=dict(type='ATLoss', loss_weight=1000)),
        loss_forward_mappings=dict(
            loss_stage4=dict(
                s_feature=dict(recorder='stage4', from_student=True),
                t_feature=dict(recorder='stage4', from_student=False),
            )
        ),
    )
)
