# The last two of the four stages of the ResNets for ImageNet, and their channels.
_base_ = ['./fitnets.py']

model = dict(
    distiller=dict(
        student_recorders=dict(
            hint1=dict(source='backbone.layer3'), hint2=dict(source='backbone.layer4')
        ),
        teacher_recorders=dict(
            hint1=dict(source='backbone.layer3'), hint2=dict(source='backbone.layer4')
        ),
        connectors=dict(
            hint1=dict(in_channel=256, out_channel=1024),
            hint2=dict(in_channel=512, out_channel=2048),
        ),
    )
)
