# Second stage: the student's factors match those of the paraphraser, which the first stage has
# trained; a config adds its `checkpoint`.
_base_ = ['./factor_transfer_pretrain.py']

model = dict(
    init_cfg=dict(type='Pretrained'),
    calculate_student_loss=True,
    student_trainable=True,
    distiller=dict(
        # The weight of CRD's comparison on CIFAR-100; MMRazor has 1, of a loss of about 0.01.
        distill_losses=dict(_delete_=True, loss_factor=dict(type='FTLoss', loss_weight=200)),
        connectors=dict(teacher=dict(phase='train')),
        loss_forward_mappings=dict(
            _delete_=True,
            loss_factor=dict(
                s_feature=dict(recorder='last', from_student=True, connector='student'),
                t_feature=dict(recorder='last', from_student=False, connector='teacher'),
            ),
        ),
    ),
)
