# The maps of 8x8 images have a sixteenth of the places of CIFAR's, over which the loss is a mean.
_base_ = ['./at.py']

model = dict(
    distiller=dict(
        distill_losses=dict(
            loss_stage1=dict(loss_weight=1000 / 16),
            loss_stage2=dict(loss_weight=1000 / 16),
            loss_stage3=dict(loss_weight=1000 / 16),
        )
    )
)
