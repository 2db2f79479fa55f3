# MobileNetV2 of full width as in DOT (Zhao et al., ICCV 2023): its stem is a padded 1x1
# convolution, and the last stage to stride is that of 64 channels. `_scope_` lets MMRazor build it.
mobilenet_v2 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(
        type='CifarMobileNetV2',
        stem_kernel_size=1,
        stem_stride=1,
        strides=(1, 2, 2, 2, 1, 1, 1),
        act_cfg=dict(type='ReLU6'),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=200,
        in_channels=1280,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
