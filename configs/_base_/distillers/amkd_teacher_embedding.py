# AMKD with the teacher's embedding as reference: the student's boundary samples are compared with
# the teacher's clean samples. A linear connector leads from the one space into the other.
_base_ = ['./amkd.py']

model = dict(
    distiller=dict(
        teacher_recorders=dict(embedding=dict(type='Embedding')),
        connectors=dict(
            embedding=dict(
                type='TorchNNConnector',
                module_name='Linear',
                # Widths of the student's and of the teacher's embedding, those of CifarResNet:
                # replace them by what `tools/analysis_tools/check_pair.py` prints.
                module_args=dict(in_features=64, out_features=64),
            )
        ),
        loss_forward_mappings=dict(
            loss_triplet=dict(
                anchor=dict(connector='embedding'), reference=dict(from_student=False)
            )
        ),
    )
)
