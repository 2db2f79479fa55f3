# MMPretrain's residual networks for small images. `_scope_` lets MMRazor build them.
resnet18 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, num_stages=4, out_indices=(3,), style='pytorch'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
resnet50 = {
    **resnet18,
    'backbone': {**resnet18['backbone'], 'depth': 50},
    'head': {**resnet18['head'], 'in_channels': 2048},
}
