# Negatives are drawn from all training images by their index, which MMPretrain's datasets give, by
# `amkd_mm.compat`: MMRazor's own dataset and packing need MMCls.
_base_ = ['./single_teacher.py']

model = dict(
    distiller=dict(
        student_recorders=dict(
            embedding=dict(type='Embedding'),
            # What the classifier is called with: images and data samples.
            inputs=dict(type='ModuleInputs', source=''),
        ),
        teacher_recorders=dict(embedding=dict(type='Embedding')),
        # All as in the authors' code. `sample_n` is the number of different training
        # images, here CIFAR's.
        distill_losses=dict(
            loss_crd=dict(type='CRDLoss', loss_weight=0.8, neg_num=16384, sample_n=50000)
        ),
        # `dim_in` is the width of the embedding, here CifarResNet's.
        connectors=dict(
            student=dict(type='CRDConnector', dim_in=64, dim_out=128),
            teacher=dict(type='CRDConnector', dim_in=64, dim_out=128),
        ),
        loss_forward_mappings=dict(
            loss_crd=dict(
                s_feats=dict(recorder='embedding', from_student=True, connector='student'),
                t_feats=dict(recorder='embedding', from_student=False, connector='teacher'),
                data_samples=dict(recorder='inputs', from_student=True, data_idx=1),
            )
        ),
    ),
)
