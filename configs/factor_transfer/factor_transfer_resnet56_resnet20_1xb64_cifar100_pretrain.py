_base_ = [
    '../_base_/pairs/resnet56_resnet20_cifar100.py',
    '../_base_/distillers/factor_transfer_pretrain.py',
]

model = _base_.pair

train_cfg = dict(max_epochs=20)
