# First stage: the paraphraser of the teacher's last stage learns to reconstruct it. The student
# and its translator are only built, so that the second stage finds them in the checkpoint.
_base_ = ['./single_teacher.py']

model = dict(
    calculate_student_loss=False,
    student_trainable=False,
    distiller=dict(
        student_recorders=dict(last=dict(type='ModuleOutputs', source='backbone.layer3')),
        teacher_recorders=dict(last=dict(type='ModuleOutputs', source='backbone.layer3')),
        distill_losses=dict(loss_reconstruction=dict(type='L2Loss')),
        # Channels of CifarResNet; factors have half as many as the teacher, as in the paper.
        connectors=dict(
            student=dict(type='Translator', in_channel=64, out_channel=32),
            teacher=dict(type='Paraphraser', phase='pretrain', in_channel=64, out_channel=32),
        ),
        loss_forward_mappings=dict(
            loss_reconstruction=dict(
                # Both are the teacher's, in spite of the names of the arguments.
                s_feature=dict(recorder='last', from_student=False),
                t_feature=dict(recorder='last', from_student=False, connector='teacher'),
            )
        ),
    ),
)

# Those of the student, and then those of the paraphraser, are not trained.
find_unused_parameters = True
