# Similarity-preserving knowledge distillation (Tung and Mori, ICCV 2019), of the last stage's maps.
_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
        student_recorders=dict(stage3=dict(type='ModuleOutputs', source='backbone.layer3')),
        teacher_recorders=dict(stage3=dict(type='ModuleOutputs', source='backbone.layer3')),
        # The weight of the paper; that of CRD's benchmark and mdistiller, too.
        distill_losses=dict(loss_sp=dict(type='SPLoss', loss_weight=3000.0)),
        loss_forward_mappings=dict(
            loss_sp=dict(
                s_feature=dict(recorder='stage3', from_student=True),
                t_feature=dict(recorder='stage3', from_student=False),
            )
        ),
    ),
)
