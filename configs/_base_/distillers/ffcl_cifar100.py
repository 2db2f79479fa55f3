_base_ = ['./ffcl.py']

model = dict(
    distiller=dict(
        distill_losses=dict(loss_fusion=dict(num_classes=100)),
        connectors=dict(virtual_teacher=dict(num_classes=100)),
    )
)
