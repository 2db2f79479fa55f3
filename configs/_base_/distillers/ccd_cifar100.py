_base_ = ['./ccd.py', '../augmentations/jda_cifar100.py']

default_hooks = dict(augmented_samples=dict(transforms=_base_.jda_cifar100))
