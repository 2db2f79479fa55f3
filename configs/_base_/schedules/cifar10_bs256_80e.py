# As in BSS (Heo et al., AAAI 2019).
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0001)
)
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[40, 60], gamma=0.1)

train_cfg = dict(by_epoch=True, max_epochs=80, val_interval=1)

# Batch size over all processes that the learning rate is made for.
auto_scale_lr = dict(base_batch_size=256)
