# MobileNetV2 of half width, and both ShuffleNets, for small images. `_scope_` lets MMRazor build
# them.
mobilenet_v2_x0_5 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='CifarMobileNetV2', widen_factor=0.5),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=1280,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
shufflenet_v1 = {
    **mobilenet_v2_x0_5,
    'backbone': dict(type='CifarShuffleNetV1'),
    'head': {**mobilenet_v2_x0_5['head'], 'in_channels': 960},
}
shufflenet_v2 = {
    **mobilenet_v2_x0_5,
    'backbone': dict(type='CifarShuffleNetV2'),
    'head': {**mobilenet_v2_x0_5['head'], 'in_channels': 1024},
}
