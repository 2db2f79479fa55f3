# The generator looks for images on which the two networks differ. Of the training data their
# number is used. The recorders name the only teacher as `teacher`.
_base_ = ['../default_runtime.py']

model = dict(
    _scope_='mmrazor',
    type='DataFreeDistillation',
    # The paper's 10 steps of the student for one of the generator.
    student_iter=10,
    # 3 channels, twice enlarged from a quarter of `img_size`. Widths as in MMRazor.
    generator=dict(type='ZSKTGenerator', img_size=32, latent_dim=256, hidden_channels=128),
    distiller=dict(
        type='ConfigurableDistiller',
        student_recorders=dict(
            logits=dict(type='Logits'),
            stage1=dict(type='ModuleOutputs', source='backbone.layer1'),
            stage2=dict(type='ModuleOutputs', source='backbone.layer2'),
            stage3=dict(type='ModuleOutputs', source='backbone.layer3'),
        ),
        teacher_recorders=dict(
            logits=dict(type='ModuleOutputs', source='teacher.head.fc'),
            stage1=dict(type='ModuleOutputs', source='teacher.backbone.layer1'),
            stage2=dict(type='ModuleOutputs', source='teacher.backbone.layer2'),
            stage3=dict(type='ModuleOutputs', source='teacher.backbone.layer3'),
        ),
        # Weights as in MMRazor, where 2 is that of a mean over 10 classes; 250 is the paper's.
        distill_losses=dict(
            loss_kl=dict(type='KLDivergence', loss_weight=2 / 10),
            loss_stage1=dict(type='ATLoss', loss_weight=250),
            loss_stage2=dict(type='ATLoss', loss_weight=250),
            loss_stage3=dict(type='ATLoss', loss_weight=250),
        ),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
            ),
            loss_stage1=dict(
                s_feature=dict(recorder='stage1', from_student=True),
                t_feature=dict(recorder='stage1', from_student=False),
            ),
            loss_stage2=dict(
                s_feature=dict(recorder='stage2', from_student=True),
                t_feature=dict(recorder='stage2', from_student=False),
            ),
            loss_stage3=dict(
                s_feature=dict(recorder='stage3', from_student=True),
                t_feature=dict(recorder='stage3', from_student=False),
            ),
        ),
    ),
    generator_distiller=dict(
        type='ConfigurableDistiller',
        student_recorders=dict(logits=dict(type='Logits')),
        teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='teacher.head.fc')),
        # The negative of the student's.
        distill_losses=dict(
            loss_kl=dict(type='KLDivergence', loss_weight=-2 / 10, teacher_detach=False)
        ),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
            )
        ),
    ),
)

# Validates the student.
val_cfg = dict()
test_cfg = dict()
