# The last blocks of ResNet56; the student is ResNet20.
_base_ = ['./review_kd.py']

model = dict(
    distiller=dict(
        teacher_recorders=dict(
            stages=dict(
                sources=[
                    'backbone.layer1.8.relu',
                    'backbone.layer2.8.relu',
                    'backbone.layer3.8.relu',
                    'head.fc',
                ]
            )
        )
    )
)
