# The generator looks for images on which the logits of the two networks differ. Of the training
# data their number is used. The recorders name the only teacher as `teacher`.
_base_ = ['../default_runtime.py']

model = dict(
    _scope_='mmrazor',
    type='DataFreeDistillation',
    # The paper's 5 steps of the student before one of the generator.
    student_iter=5,
    student_train_first=True,
    # 3 channels, twice enlarged from a quarter of `img_size`. Widths as in the paper.
    generator=dict(
        type='DAFLGenerator', img_size=32, latent_dim=256, hidden_channels=128, bn_eps=1e-5
    ),
    distiller=dict(
        type='ConfigurableDistiller',
        student_recorders=dict(logits=dict(type='Logits')),
        teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='teacher.head.fc')),
        distill_losses=dict(loss_l1=dict(type='L1Loss')),
        loss_forward_mappings=dict(
            loss_l1=dict(
                s_feature=dict(recorder='logits', from_student=True),
                t_feature=dict(recorder='logits', from_student=False),
            )
        ),
    ),
    generator_distiller=dict(
        type='ConfigurableDistiller',
        student_recorders=dict(logits=dict(type='Logits')),
        teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='teacher.head.fc')),
        # The negative of the student's.
        distill_losses=dict(loss_l1=dict(type='L1Loss', loss_weight=-1)),
        loss_forward_mappings=dict(
            loss_l1=dict(
                s_feature=dict(recorder='logits', from_student=True),
                t_feature=dict(recorder='logits', from_student=False),
            )
        ),
    ),
)

# Validates the student.
val_cfg = dict()
test_cfg = dict()
