# Neuron selectivity transfer (Huang and Wang, 2017), of the maps of three stages.
_base_ = ['./three_stages.py']

model = dict(
    distiller=dict(
        # The weight and the stages of CRD's benchmark and of mdistiller.
        distill_losses=dict(
            loss_stage1=dict(type='NSTLoss', loss_weight=50.0),
            loss_stage2=dict(type='NSTLoss', loss_weight=50.0),
            loss_stage3=dict(type='NSTLoss', loss_weight=50.0),
        ),
    ),
)
