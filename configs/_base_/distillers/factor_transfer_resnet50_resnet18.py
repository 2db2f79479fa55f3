# The last stage of the ResNets for ImageNet, and its channels.
_base_ = ['./factor_transfer.py']

model = dict(
    distiller=dict(
        student_recorders=dict(last=dict(source='backbone.layer4')),
        teacher_recorders=dict(last=dict(source='backbone.layer4')),
        connectors=dict(
            student=dict(in_channel=512, out_channel=1024),
            teacher=dict(in_channel=2048, out_channel=1024),
        ),
    )
)
