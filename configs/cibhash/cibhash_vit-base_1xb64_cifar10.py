_base_ = [
    '../_base_/pairs/hash_vit-base_efficientnet-b0_cifar10.py',
    '../_base_/single_network.py',
]

model = _base_.pair.teacher

# As published for the teacher.
optim_wrapper = dict(optimizer=dict(lr=0.0005))
train_cfg = dict(max_epochs=200)
