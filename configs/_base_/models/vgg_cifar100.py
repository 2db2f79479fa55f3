# VGG with batch norm, for small images. `_scope_` lets MMRazor build them.
vgg8 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='CifarVGG', depth=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
vgg11 = {**vgg8, 'backbone': dict(type='CifarVGG', depth=11)}
vgg13 = {**vgg8, 'backbone': dict(type='CifarVGG', depth=13)}
vgg16 = {**vgg8, 'backbone': dict(type='CifarVGG', depth=16)}
vgg19 = {**vgg8, 'backbone': dict(type='CifarVGG', depth=19)}
