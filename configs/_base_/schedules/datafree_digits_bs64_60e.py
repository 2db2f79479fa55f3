# Ours: the same proportions over 60 epochs.
_base_ = ['./datafree_cifar_bs256_150e.py']

param_scheduler = dict(architecture=dict(milestones=[24, 48]), generator=dict(milestones=[24, 48]))

train_cfg = dict(max_epochs=60)
auto_scale_lr = dict(base_batch_size=64)
