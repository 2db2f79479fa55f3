# Wide residual networks: depth and width. `_scope_` lets MMRazor build them.
wrn_16_1 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='CifarWideResNet', depth=16, widen_factor=1),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
wrn_40_1 = {**wrn_16_1, 'backbone': {**wrn_16_1['backbone'], 'depth': 40}}
wrn_16_2 = {
    **wrn_16_1,
    'backbone': {**wrn_16_1['backbone'], 'widen_factor': 2},
    'head': {**wrn_16_1['head'], 'in_channels': 128},
}
wrn_40_2 = {**wrn_16_2, 'backbone': {**wrn_16_2['backbone'], 'depth': 40}}
