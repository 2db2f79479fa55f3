# For a student and a generator: about MMRazor's number of steps for data-free methods. The rates
# are those of DFAD (Fang et al., 2019) for CIFAR; MMRazor lowers them likewise.
_base_ = ['./cifar10_bs256_80e.py']

optim_wrapper = dict(
    _delete_=True,
    constructor='mmrazor.SeparateOptimWrapperConstructor',
    architecture=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0005)),
    generator=dict(optimizer=dict(type='Adam', lr=0.001)),
)
param_scheduler = dict(
    _delete_=True,
    architecture=dict(type='MultiStepLR', by_epoch=True, milestones=[60, 120], gamma=0.1),
    generator=dict(type='MultiStepLR', by_epoch=True, milestones=[60, 120], gamma=0.1),
)

train_cfg = dict(max_epochs=150)
