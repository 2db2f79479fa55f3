"""Embeddings are what the classifying layer gets."""

import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from amkd_mm.analysis import embed


def test_the_head_makes_the_logits_of_them():
    network = dict(
        type='ImageClassifier',
        backbone=dict(type='CifarResNet', depth=8),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=64),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = MODELS.build(network).eval()
    images = torch.randn(7, 3, 8, 8)
    with torch.no_grad():
        logits = network(images, mode='tensor')
    # In batches, the last of which is not full; and once more, as nothing is left behind.
    for _ in range(2):
        found = embed(network, images, batch_size=3)
        assert found.shape == (7, 64)
        torch.testing.assert_close(network.head.fc(found), logits)
    assert not any(module._forward_hooks for module in network.modules())
