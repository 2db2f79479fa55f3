_base_ = ['../_base_/pairs/resnet56_resnet20_cifar100.py', '../_base_/distillers/abloss.py']

first_stage = 'work_dirs/abloss_resnet56_resnet20_1xb64_cifar100_pretrain/epoch_20.pth'
model = dict(_base_.pair, init_cfg=dict(checkpoint=first_stage))
