# The last blocks of ResNet56 and ResNet20.
_base_ = ['./ofd.py']

model = dict(
    distiller=dict(
        student_recorders=dict(
            stage1=dict(source='backbone.layer1.2.relu'),
            stage2=dict(source='backbone.layer2.2.relu'),
            stage3=dict(source='backbone.layer3.2.relu'),
        ),
        teacher_recorders=dict(
            stage1=dict(source='backbone.layer1.8.relu'),
            stage2=dict(source='backbone.layer2.8.relu'),
            stage3=dict(source='backbone.layer3.8.relu'),
        ),
    )
)
