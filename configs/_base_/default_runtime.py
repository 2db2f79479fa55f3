# Every distiller brings this part with it; a single network takes it from `single_network.py`. A
# fixed seed is left to pairs: two bases of a config must not have a key in common.
default_scope = 'mmpretrain'

custom_imports = dict(imports=['amkd_mm'], allow_failed_imports=False)

# A config or `--cfg-options` changes a hook by its name, or with `None` leaves it out.
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # The last two checkpoints are enough to resume from.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Pictures of validation images, set `enable=True` to draw them.
    visualization=dict(type='VisualizationHook', enable=False),
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

env_cfg = dict(
    cudnn_benchmark=False,
    # Threads of OpenCV would compete with the workers of the dataloader.
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

visualizer = dict(
    type='mmpretrain.UniversalVisualizer',
    vis_backends=[dict(type='LocalVisBackend')],
)

log_level = 'INFO'
load_from = None
resume = False
