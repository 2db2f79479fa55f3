"""Configs of small classifiers."""


def classifier(depth=8, num_classes=4, norm='BN', **changes):
    """Config of a CIFAR ResNet.

    With group norm (``norm='GN'``), what it says of an image does not depend on the others of the
    batch. The changes replace parts of the classifier.
    """
    backbone = dict(type='CifarResNet', depth=depth)
    if norm == 'GN':
        backbone['norm_cfg'] = dict(type='GN', num_groups=4)
    elif norm != 'BN':
        backbone['norm_cfg'] = dict(type=norm)
    config = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=num_classes, in_channels=64),
    )
    return config | changes
