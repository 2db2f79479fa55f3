_base_ = ['mmpretrain::_base_/default_runtime.py']

custom_imports = dict(imports=['amkd_mm'], allow_failed_imports=False)

default_hooks = dict(
    # The last two checkpoints are enough to resume from.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
    # A resumed training draws the random numbers of an uninterrupted one.
    step_seed=dict(type='mmrazor.StepSeedHook'),
    # Averages batch norm statistics over processes before validation.
    sync_buffers=dict(type='SyncBuffersHook'),
    # For metrics that compare student and teacher; does nothing without one.
    metric_algorithm=dict(type='mmrazor.MetricAlgorithmHook'),
    # For losses that keep something of each image; does nothing without one.
    image_memory=dict(type='mmrazor.ImageMemoryHook'),
    # Ends a training whose loss is NaN or infinite.
    invalid_loss=dict(type='mmrazor.CheckInvalidLossHook'),
    # Pictures of boundary samples, set `enable=True` to draw them.
    boundary_visualization=dict(type='mmrazor.BoundaryVisualizationHook', enable=False),
)

# As MMPretrain's, but for the `_scope_` that inheriting from it adds and its tools do not expect.
visualizer = dict(
    _delete_=True,
    type='mmpretrain.UniversalVisualizer',
    vis_backends=[dict(type='LocalVisBackend')],
)
