# A DeiT with a distillation token for 8x8 digits, 4x4 patches, and AdamW for it (ours).
_base_ = ['./resnet26_resnet8_digits.py']

pair = dict(
    architecture=dict(
        _delete_=True,
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(
            type='DistilledVisionTransformer',
            arch=dict(embed_dims=48, num_layers=4, num_heads=4, feedforward_channels=96),
            img_size=8,
            patch_size=2,
        ),
        head=dict(type='DeiTClsHead', num_classes=10, in_channels=48),
    )
)

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.002, weight_decay=0.05),
)
