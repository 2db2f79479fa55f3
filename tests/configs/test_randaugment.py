"""The operations of RandAugment as FixMatch has them, by what they do to an image."""

from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image, ImageEnhance

BASES = Path(__file__).resolve().parents[2] / 'configs/_base_'
RANDAUGMENT, CUTOUT = Config.fromfile(BASES / 'augmentations/randaugment_cifar.py')[
    'randaugment_cifar'
]
# FixMatch's, of which one changes nothing, in MMPretrain's names.
OPERATIONS = (
    'AutoContrast Brightness ColorTransform Contrast Equalize Posterize Rotate Rotate Sharpness '
    'Shear Shear Solarize Translate Translate'
)
ENHANCED = dict(
    Brightness=ImageEnhance.Brightness,
    ColorTransform=ImageEnhance.Color,
    Contrast=ImageEnhance.Contrast,
    Sharpness=ImageEnhance.Sharpness,
)


def smooth_image():
    rows, columns = np.mgrid[:32, :32]
    return np.stack([8 * rows, 4 * columns, 128 + 3 * rows - 2 * columns], 2).astype(np.uint8)


def applied(config, times, image=None, seed=0):
    """An image after each of so many applications."""
    np.random.seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        transform = Compose([config])
    image = smooth_image() if image is None else image
    return [transform(dict(img=image.copy()))['img'] for _ in range(times)]


def alone(policy):
    return dict(RANDAUGMENT, policies=[policy], num_policies=1)


def test_which():
    kinds = sorted(policy['type'] for policy in RANDAUGMENT['policies'])
    assert kinds == OPERATIONS.split() and len(kinds) == 14
    assert RANDAUGMENT['num_policies'] == 2
    assert all(policy['prob'] == 1 for policy in RANDAUGMENT['policies'])


@pytest.mark.parametrize('kind', ENHANCED)
def test_factors_are_uniform_from_one_twentieth(kind):
    """Each image is Pillow's of some factor between 0.05 and 0.95, which are all as likely."""
    (policy,) = (policy for policy in RANDAUGMENT['policies'] if policy['type'] == kind)
    image = Image.fromarray(smooth_image())
    if kind == 'Sharpness':
        image = Image.fromarray(np.random.RandomState(0).randint(0, 256, (32, 32, 3), np.uint8))
    factors = np.linspace(0, 1.2, 121)
    known = np.stack([np.asarray(ENHANCED[kind](image).enhance(f)).astype(float) for f in factors])
    found = []
    for result in applied(alone(policy), 200, np.asarray(image)):
        found.append(factors[np.abs(known - result).mean((1, 2, 3)).argmin()])
    assert 0.02 <= min(found) < 0.12 and 0.88 < max(found) <= 0.98
    assert abs(np.mean(found) - 0.5) < 0.07


def test_angles():
    """Both ways, with black corners; and the rotation that changes nothing."""
    nothing, policy = (p for p in RANDAUGMENT['policies'] if p['type'] == 'Rotate')
    white = np.full((32, 32, 3), 255, np.uint8)
    assert all((result == 255).all() for result in applied(alone(nothing), 20, white))
    black = [(result == 0).all(2).mean() for result in applied(alone(policy), 100, white)]
    most = (np.asarray(Image.fromarray(white).rotate(30)) == 0).all(2).mean()
    assert max(black) == pytest.approx(most, abs=0.03) and min(black) < 0.03
    # A picture that grows brighter from top to bottom does so from left to right, or back.
    slopes = [
        result[8:24, 27, 0].astype(float).mean() - result[8:24, 4, 0].astype(float).mean()
        for result in applied(alone(policy), 50)
    ]
    assert min(slopes) < -20 and max(slopes) > 20


@pytest.mark.parametrize(('method', 'edge'), [('mlkd', 32), ('mlkd_digits', 8)])
def test_cutout_takes_up_to_half_of_the_edge(method, edge):
    hook = Config.fromfile(BASES / f'distillers/{method}.py').default_hooks.augmented_samples
    first, cutout = hook.transforms
    assert first == RANDAUGMENT
    black = np.zeros((edge, edge, 3), np.uint8)
    edges = []
    for result in applied(cutout, 300, black):
        cut = (result == np.uint8([125, 123, 114])).all(2)
        edges.append(max(cut.any(0).sum(), cut.any(1).sum()))
        assert cut.any(1).sum() * cut.any(0).sum() == cut.sum()
    assert min(edges) == 0 and edge / 2 - 2 <= max(edges) <= edge / 2
