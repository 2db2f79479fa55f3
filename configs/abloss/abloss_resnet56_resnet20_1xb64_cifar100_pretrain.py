_base_ = [
    '../_base_/pairs/resnet56_resnet20_cifar100.py',
    '../_base_/distillers/abloss_pretrain_resnet56_resnet20.py',
]

model = _base_.pair

train_cfg = dict(max_epochs=20)
