# The thin residual networks of the CIFAR literature. `_scope_` lets MMRazor build them.
resnet8 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='CifarResNet', depth=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
resnet14 = {**resnet8, 'backbone': dict(type='CifarResNet', depth=14)}
resnet20 = {**resnet8, 'backbone': dict(type='CifarResNet', depth=20)}
resnet26 = {**resnet8, 'backbone': dict(type='CifarResNet', depth=26)}
resnet56 = {**resnet8, 'backbone': dict(type='CifarResNet', depth=56)}
