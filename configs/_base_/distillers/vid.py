# Variational information distillation (Ahn et al., CVPR 2019), of the maps of three stages.
_base_ = ['./three_stages.py']

model = dict(
    distiller=dict(
        # Weight 1 and the stages of CRD's benchmark and of mdistiller. Channels of CifarResNet.
        distill_losses=dict(
            loss_stage1=dict(type='VIDLoss', student_channels=16, teacher_channels=16),
            loss_stage2=dict(type='VIDLoss', student_channels=32, teacher_channels=32),
            loss_stage3=dict(type='VIDLoss', student_channels=64, teacher_channels=64),
        ),
    ),
)
