_base_ = [
    '../_base_/pairs/hash_vit-base_efficientnet-b0_cifar10.py',
    '../_base_/distillers/brcd.py',
]

model = _base_.pair
default_hooks = dict(code_clusters=dict(dataloader=_base_.clustered))
