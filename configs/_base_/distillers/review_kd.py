# Knowledge review (Chen et al., CVPR 2021): the stages and the embedding of ResNet26 and ResNet8.
_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
        student_recorders=dict(
            stages=dict(
                type='Stages',
                sources=['backbone.layer1', 'backbone.layer2', 'backbone.layer3', 'neck'],
            )
        ),
        # As in the authors' code what enters the last activation of each stage, and the embedding.
        teacher_recorders=dict(
            stages=dict(
                type='Stages',
                inputs=True,
                sources=[
                    'backbone.layer1.3.relu',
                    'backbone.layer2.3.relu',
                    'backbone.layer3.3.relu',
                    'head.fc',
                ],
            )
        ),
        # The weight of the authors' script for ResNet56 and ResNet20 on CIFAR-100.
        distill_losses=dict(loss_review=dict(type='ReviewKDLoss', loss_weight=0.6)),
        # Channels of CifarResNet, and the width of its embedding, student and teacher.
        connectors=dict(
            review=dict(
                type='ReviewKDConnector',
                in_channels=[16, 32, 64, 64],
                out_channels=[16, 32, 64, 64],
            )
        ),
        loss_forward_mappings=dict(
            loss_review=dict(
                s_features=dict(recorder='stages', from_student=True, connector='review'),
                t_features=dict(recorder='stages', from_student=False),
            )
        ),
    ),
)

# Published: from 0 in the first of 240 epochs to all in the 21st.
default_hooks = dict(
    review_weight=dict(
        type='mmrazor.LossWeightScheduleHook',
        loss='loss_review',
        policy='linear',
        start=0.0,
        stop=0.6,
        end=20 / 240,
    ),
)
