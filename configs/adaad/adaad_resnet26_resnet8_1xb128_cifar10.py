_base_ = ['../_base_/pairs/resnet26_resnet8_cifar10.py', '../_base_/distillers/adaad.py']

# A teacher that is robust itself, as published.
model = dict(
    _base_.pair, teacher_ckpt='work_dirs/rslad_resnet26_resnet26_1xb128_cifar10/epoch_300.pth'
)

# As published.
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(weight_decay=5e-4))
param_scheduler = dict(milestones=[100, 150])
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=128)
