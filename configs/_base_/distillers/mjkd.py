# MJKD's separate momenta, to go beside the losses of KD and hints (`fitnets.py`). A config takes
# them over its schedule's: `optim_wrapper = _base_.mjkd_optim_wrapper`.
mjkd_optim_wrapper = dict(
    type='mmrazor.SeparateMomentumOptimWrapper',
    # Of the task loss: the usual 0.9 minus what that of the logits has more.
    optimizer=dict(momentum=0.85),
    groups=dict(
        features=dict(losses=['distill.loss_hint*'], momentum=0.9),
        logits=dict(losses=['distill.loss_kl'], momentum=0.95),
    ),
)
