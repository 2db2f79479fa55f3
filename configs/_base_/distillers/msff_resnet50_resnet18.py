# The four stages of the ResNets for ImageNet, and their channels.
_base_ = ['./msff.py']

stages = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3', 'backbone.layer4']

model = dict(
    distiller=dict(
        student_recorders=dict(stages=dict(sources=stages)),
        teacher_recorders=dict(stages=dict(sources=stages)),
        connectors=dict(
            student_stages=dict(in_channels=[64, 128, 256, 512], out_channels=256),
            teacher_stages=dict(in_channels=[256, 512, 1024, 2048], out_channels=256),
        ),
    )
)
