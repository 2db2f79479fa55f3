# The thin residual networks as the literature has them on CIFAR-100 since CRD (Tian et al., ICLR
# 2020): with 1x1 convolutions where the shape changes. `x4` is four times as wide. `_scope_` lets
# MMRazor build them.
resnet8 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='CifarResNet', depth=8, shortcut='B'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
resnet14 = {**resnet8, 'backbone': dict(type='CifarResNet', depth=14, shortcut='B')}
resnet20 = {**resnet8, 'backbone': dict(type='CifarResNet', depth=20, shortcut='B')}
resnet32 = {**resnet8, 'backbone': dict(type='CifarResNet', depth=32, shortcut='B')}
resnet44 = {**resnet8, 'backbone': dict(type='CifarResNet', depth=44, shortcut='B')}
resnet56 = {**resnet8, 'backbone': dict(type='CifarResNet', depth=56, shortcut='B')}
resnet110 = {**resnet8, 'backbone': dict(type='CifarResNet', depth=110, shortcut='B')}

resnet8x4 = {
    **resnet8,
    'backbone': {**resnet8['backbone'], 'stem_channels': 32, 'base_channels': 64},
    'head': {**resnet8['head'], 'in_channels': 256},
}
resnet32x4 = {**resnet8x4, 'backbone': {**resnet8x4['backbone'], 'depth': 32}}
