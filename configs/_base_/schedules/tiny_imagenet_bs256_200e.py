# As in DOT (Zhao et al., ICCV 2023).
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=0.0005)
)
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[60, 120, 160], gamma=0.1)

train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=1)

# Batch size over all processes that the learning rate is made for.
auto_scale_lr = dict(base_batch_size=256)
