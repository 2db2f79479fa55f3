# The network that is taught sees images of a generator only; of the training data their number is
# used. The recorders name the only teacher as `teacher`.
_base_ = ['../default_runtime.py']

model = dict(
    _scope_='mmrazor',
    type='DAFLDataFreeDistillation',
    # 3 channels, twice enlarged from a quarter of `img_size`. Widths as in the paper.
    generator=dict(type='DAFLGenerator', img_size=32, latent_dim=1000, hidden_channels=128),
    distiller=dict(
        type='ConfigurableDistiller',
        student_recorders=dict(logits=dict(type='Logits')),
        teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='teacher.head.fc')),
        # Temperature as in MMRazor.
        distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=6)),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
            )
        ),
    ),
    # Its images should be of one class each, of all classes together, and activate the teacher.
    generator_distiller=dict(
        type='ConfigurableDistiller',
        teacher_recorders=dict(
            logits=dict(type='ModuleOutputs', source='teacher.head.fc'),
            embedding=dict(type='ModuleOutputs', source='teacher.neck.gap'),
        ),
        # Weights as in MMRazor; those of the paper are 1, 5 and 0.1.
        distill_losses=dict(
            loss_one_hot=dict(type='OnehotLikeLoss', loss_weight=0.05),
            loss_entropy=dict(type='InformationEntropyLoss', loss_weight=5),
            loss_activation=dict(type='ActivationLoss', loss_weight=0.01),
        ),
        loss_forward_mappings=dict(
            loss_one_hot=dict(preds_T=dict(recorder='logits', from_student=False)),
            loss_entropy=dict(preds_T=dict(recorder='logits', from_student=False)),
            loss_activation=dict(feat_T=dict(recorder='embedding', from_student=False)),
        ),
    ),
)

# Validates the student.
val_cfg = dict()
test_cfg = dict()
