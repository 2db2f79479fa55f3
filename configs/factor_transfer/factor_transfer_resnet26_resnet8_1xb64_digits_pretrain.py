_base_ = [
    '../_base_/pairs/resnet26_resnet8_digits.py',
    '../_base_/distillers/factor_transfer_pretrain.py',
]

model = _base_.pair

train_cfg = dict(max_epochs=6)
