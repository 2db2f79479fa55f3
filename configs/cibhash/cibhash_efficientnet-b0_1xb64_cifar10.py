_base_ = [
    '../_base_/pairs/hash_vit-base_efficientnet-b0_cifar10.py',
    '../_base_/single_network.py',
]

model = _base_.pair.architecture
