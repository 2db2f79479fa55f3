"""Sizes that pipelines and networks name."""

import pytest

from amkd_mm.diagnostics.sizes import pipeline_size


@pytest.mark.parametrize(
    'transforms, size',
    [
        (
            [dict(type='RandomResizedCrop', scale=224), dict(type='RandomFlip', prob=0.5)],
            (224, 224),
        ),
        ([dict(type='Resize', scale=64), dict(type='RandomCrop', crop_size=32)], (32, 32)),
        ([dict(type='Resize', scale=(30, 20))], (20, 30)),
        ([dict(type='mmpretrain.CenterCrop', crop_size=(20, 30))], (20, 30)),
        ([dict(type='torchvision/RandomResizedCrop', size=176)], (176, 176)),
        ([dict(type='ResizeEdge', scale=256), dict(type='PackInputs')], (256, 256)),
        ([dict(type='LoadImageFromFile'), dict(type='ColorJitter')], None),
        ([], None),
    ],
)
def test_size_of_a_pipeline(transforms, size):
    assert pipeline_size(transforms) == size
