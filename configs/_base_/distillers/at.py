# The outputs of the stages, for networks with three of them, whose maps have the same sizes.
_base_ = ['./three_stages.py']

model = dict(
    distiller=dict(
        # The weight of the authors' code, whose loss is a mean over the map as well.
        distill_losses=dict(
            loss_stage1=dict(type='ATLoss', loss_weight=1000),
            loss_stage2=dict(type='ATLoss', loss_weight=1000),
            loss_stage3=dict(type='ATLoss', loss_weight=1000),
        ),
    ),
)
