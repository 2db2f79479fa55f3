# Bit-mask robust contrastive distillation of codes (He et al., WWW 2024), beside the student's own
# loss. The pair brings `database`: here the training images, whose codes are clustered first.
_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
        student_recorders=dict(
            codes=dict(type='ModuleOutputs', source='head.hash'),
            # What the student is called with: images and data samples.
            inputs=dict(type='ModuleInputs', source=''),
        ),
        teacher_recorders=dict(codes=dict(type='ModuleOutputs', source='head.hash')),
        # All as in the authors' code.
        distill_losses=dict(
            loss_brcd=dict(type='BRCDLoss', temperature=0.3, alpha=0.8, num_clusters=10, margin=0.5)
        ),
        loss_forward_mappings=dict(
            loss_brcd=dict(
                codes_S=dict(recorder='codes', from_student=True),
                codes_T=dict(recorder='codes', from_student=False),
                data_samples=dict(recorder='inputs', from_student=True, data_idx=1),
            )
        ),
    )
)

default_hooks = dict(code_clusters=dict(type='mmrazor.CodeClusterHook'))
