# AMKD and CRD.
_base_ = ['./amkd.py']

model = dict(
    distiller=dict(
        student_recorders=dict(inputs=dict(type='ModuleInputs', source='')),
        teacher_recorders=dict(embedding=dict(type='Embedding')),
        # As in `crd.py`.
        distill_losses=dict(
            loss_crd=dict(type='CRDLoss', loss_weight=0.8, neg_num=16384, sample_n=50000)
        ),
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
    )
)
