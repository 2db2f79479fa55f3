"""The operations of joint data augmentation, by the levels that the authors' code gives them."""

from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image, ImageOps

FOLDER = Path(__file__).resolve().parents[2] / 'configs/_base_/augmentations'
# Name and level of each operation in order (liwei-group/CCD, data/datasets.py).
LEVELS = dict(
    jda_cifar10='Invert 7, Rotate 2, ShearY 8, Posterize 9, AutoContrast 8, ColorTransform 3, '
    'Sharpness 9, Equalize 5, Contrast 7, TranslateY 3, Brightness 6, Solarize 2, TranslateX 3, '
    'ShearX 8',
    jda_cifar100='AutoContrast 2, Contrast 3, Posterize 0, Solarize 4, TranslateY 8, ShearX 5, '
    'Brightness 3, ShearY 0, TranslateX 1, Sharpness 5, Invert 4, ColorTransform 4, Equalize 8, '
    'Rotate 3',
)
PROBABILITIES = dict(jda_cifar10=0.5, jda_cifar100=0.3)
# Of levels 0 and 9, in MMPretrain's names; the sign is random where there is `magnitude`.
RANGES = dict(
    Shear=('magnitude', 0, 0.3),
    Translate=('magnitude', 0, 150 / 331),
    Rotate=('angle', 0, -30),
    ColorTransform=('magnitude', 0, 0.9),
    Contrast=('magnitude', 0, 0.9),
    Sharpness=('magnitude', 0, 0.9),
    Brightness=('magnitude', 0, 0.9),
    Posterize=('bits', 8, 4),
    Solarize=('thr', 256, 0),
)
DIRECTIONS = dict(X='horizontal', Y='vertical')


def transforms_of(name):
    return Config.fromfile(FOLDER / f'{name}.py')[name]


@pytest.mark.parametrize('name', LEVELS)
def test_levels(name):
    expected = []
    for text in LEVELS[name].split(', '):
        operation, level = text.split()
        wanted = dict(type=operation.rstrip('XY'), prob=PROBABILITIES[name])
        if operation[-1] in DIRECTIONS:
            wanted['direction'] = DIRECTIONS[operation[-1]]
        if wanted['type'] in RANGES:
            key, first, last = RANGES[wanted['type']]
            wanted[key] = pytest.approx(first + (last - first) * int(level) / 9)
        # These two change nothing.
        if text not in ('Posterize 0', 'ShearY 0'):
            expected.append(wanted)
    found = [dict(transform) for transform in transforms_of(name)]
    for transform in found:
        assert (transform.pop('random_negative_prob', 0.5) == 0) == (transform['type'] == 'Rotate')
    assert found == expected


@pytest.mark.parametrize(
    ('kind', 'operation'),
    [
        ('Invert', ImageOps.invert),
        ('Posterize', lambda image: ImageOps.posterize(image, 4)),
        ('Solarize', lambda image: ImageOps.solarize(image, 256 - 256 * 2 / 9)),
        ('Rotate', lambda image: image.rotate(60 / 9, fillcolor=(128,) * 3)),
    ],
)
def test_operations_are_those_of_pillow(kind, operation):
    """Of which the authors' are."""
    # Smooth, so that the rounding of a rotation changes little.
    rows, columns = np.mgrid[:32, :32]
    image = np.stack([8 * rows, 4 * columns, 128 + 3 * rows - 2 * columns], 2).astype(np.uint8)
    (config,) = (dict(config) for config in transforms_of('jda_cifar10') if config['type'] == kind)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        transform = Compose([dict(config, prob=1.0)])
    found = transform(dict(img=image.copy()))['img'].astype(float)
    expected = np.asarray(operation(Image.fromarray(image))).astype(float)
    assert np.abs(expected - image).mean() > 3
    difference = np.abs(found - expected)
    if kind == 'Rotate':
        # Both take the nearest pixel, but round its place differently.
        difference = difference[4:-4, 4:-4]
        assert difference.mean() < 3 and np.median(difference) == 0
    else:
        assert difference.max() == 0
