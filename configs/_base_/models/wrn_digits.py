# A wide residual network of ten classes.
wrn_16_2 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='CifarWideResNet', depth=16, widen_factor=2),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=128,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
