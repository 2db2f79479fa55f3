# DeiT's hard distillation (Touvron et al., ICML 2021): the class token learns the labels and the
# distillation token what the teacher decides, half and half.
_base_ = ['./single_teacher.py']

model = dict(
    # The student's own loss is of the mean of both scores: `loss_cls` takes its place.
    calculate_student_loss=False,
    distiller=dict(
        student_recorders=dict(
            cls=dict(type='ModuleOutputs', source='head.layers.head'),
            dist=dict(type='ModuleOutputs', source='head.layers.head_dist'),
            labels=dict(type='Labels'),
        ),
        teacher_recorders=dict(logits=dict(type='Logits')),
        connectors=dict(decide=dict(type='HardLabelConnector')),
        distill_losses=dict(
            loss_cls=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=0.5),
            loss_dist=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=0.5),
        ),
        loss_forward_mappings=dict(
            loss_cls=dict(
                cls_score=dict(recorder='cls', from_student=True),
                label=dict(recorder='labels', from_student=True),
            ),
            loss_dist=dict(
                cls_score=dict(recorder='dist', from_student=True),
                label=dict(recorder='logits', from_student=False, connector='decide'),
            ),
        ),
    ),
)
