# Boundary samples by a search that ends on the boundary instead of beyond it, and a triplet loss.
_base_ = ['./kd_boundary.py']

model = dict(
    distiller=dict(
        student_recorders=dict(
            # What the classifying layer gets: the pooled features of most networks.
            embedding=dict(type='Embedding'),
            labels=dict(type='Labels'),
        ),
        distill_losses=dict(loss_triplet=dict(type='TripletDistillLoss')),
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

# Base samples are random images that the teacher gets right. Those that the student gets right,
# too, are too few on many classes (docs/results.md), and a choice by discrepancy gained nothing.
# Each boundary sample is used in four steps on average, so that a search is due in one of four: the
# teacher's boundary stays where it is (docs/tuning.md).
default_hooks = dict(boundary_samples=dict(attack=dict(type='BoundarySearch'), reuse=4))
