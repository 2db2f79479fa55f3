# DeiT-Ti with a distillation token and patches of 4x4, for images of 32 pixels (ours).
_base_ = ['./resnet56_resnet20_cifar100.py']

pair = dict(
    architecture=dict(
        _delete_=True,
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(
            type='DistilledVisionTransformer', arch='deit-tiny', img_size=32, patch_size=4
        ),
        head=dict(type='DeiTClsHead', num_classes=100, in_channels=192),
    )
)

# As published: 0.0005 for batches of 512, in proportion; 5 epochs of warm-up, and half a cosine.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.0005 * 64 / 512, weight_decay=0.05),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5 * 64 / 512, begin=5),
]
