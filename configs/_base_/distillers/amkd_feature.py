# The same, with a feature loss: the squared distance between the two normalised embeddings of a
# clean sample.
_base_ = ['./amkd_teacher_embedding.py']

model = dict(
    distiller=dict(
        distill_losses=dict(loss_feature=dict(type='L2Loss')),
        loss_forward_mappings=dict(
            loss_feature=dict(
                s_feature=dict(recorder='embedding', from_student=True, connector='embedding'),
                t_feature=dict(recorder='embedding', from_student=False),
            )
        ),
    )
)
