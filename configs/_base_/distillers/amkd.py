_base_ = ['./bss.py']

model = dict(
    distiller=dict(
        student_recorders=dict(
            # What the classifying layer gets: the pooled features of most networks.
            embedding=dict(type='Embedding'),
            labels=dict(type='Labels'),
        ),
        # On clean samples as in `kd.py`.
        distill_losses=dict(loss_kl=dict(tau=4), loss_triplet=dict(type='TripletDistillLoss')),
        loss_forward_mappings=dict(
            loss_triplet=dict(
                anchor=dict(recorder='embedding', from_student=True, record_idx=1),
                anchor_labels=dict(recorder='labels', from_student=True, record_idx=1),
                reference=dict(recorder='embedding', from_student=True),
                reference_labels=dict(recorder='labels', from_student=True),
            )
        ),
    )
)

# On the boundary instead of beyond it. Base samples are random: choosing them by discrepancy
# costs a pass of the teacher over the whole batch, and those that the student gets right are too
# few on many classes (docs/results.md).
custom_hooks = [
    dict(
        type='mmrazor.BoundarySampleHook',
        attack=dict(type='BoundarySearch'),
        num_samples=0.25,
        end=0.75,
    ),
    # The weight on boundary samples.
    _base_.custom_hooks[2],
]
