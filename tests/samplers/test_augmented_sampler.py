"""AugmentedSampler on tensors: copies in the batch's order, and whose random numbers they use."""

import random

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose

from amkd_mm.samplers import AugmentedSampler
from clean_batches import clean_batch

FLIP = dict(type='mmpretrain.RandomFlip', prob=0.5)


def pixels_of(transforms, batch, seed=0):
    sampler = AugmentedSampler(Compose(transforms))
    found = sampler(batch, torch.Generator().manual_seed(seed))
    assert found.rows.tolist() == list(range(len(batch.labels)))
    assert torch.equal(found.labels, batch.labels) and torch.equal(found.origins, batch.inputs)
    return batch.normalizer.denormalize(found.inputs)


def test_copies_are_in_the_order_of_the_images():
    batch = clean_batch(rows=16)
    clean = batch.normalizer.denormalize(batch.inputs)
    flipped = 0
    for image, copy in zip(clean, pixels_of([FLIP], batch), strict=True):
        is_flipped = torch.allclose(copy, image.flip(2), atol=1e-3)
        assert is_flipped or torch.allclose(copy, image, atol=1e-3)
        flipped += is_flipped
    assert 0 < flipped < 16


def test_copies_of_a_share_of_the_images():
    batch = clean_batch(rows=16)
    invert = Compose([dict(type='mmpretrain.Invert', prob=1.0)])
    drawn = []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        found = AugmentedSampler(invert, num_samples=0.25)(batch, generator)
        rows = found.rows
        assert len(set(rows.tolist())) == 4
        assert torch.equal(found.labels, batch.labels[rows])
        assert torch.equal(found.origins, batch.inputs[rows])
        pixels, copies = map(batch.normalizer.denormalize, (batch.inputs[rows], found.inputs))
        torch.testing.assert_close(copies, 255 - pixels, atol=1e-3, rtol=0)
        drawn += rows.tolist()
    assert set(drawn) == set(range(16))


def test_other_random_numbers_are_not_disturbed():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    def begin():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    begin()
    expected = draw()
    begin()
    pixels_of([FLIP], clean_batch())
    assert draw() == expected


# torchvision's transforms draw from torch.
TORCHVISION = [
    dict(type=f'mmpretrain.{name}')
    for name in ('NumpyToPIL', 'torchvision/RandomHorizontalFlip', 'PILToNumpy')
]


@pytest.mark.parametrize('transforms', [[FLIP], TORCHVISION], ids=['mmpretrain', 'torchvision'])
def test_copies_follow_from_the_seed_whatever_draws_them(transforms):
    batch, found = clean_batch(rows=16), []
    for number in (1, 2):
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)
        found.append(pixels_of(transforms, batch, seed=7))
    assert torch.equal(*found)
    assert not torch.equal(found[0], pixels_of(transforms, batch, seed=8))


def test_transforms_that_change_the_size():
    crop = dict(type='mmpretrain.CenterCrop', crop_size=4)
    with pytest.raises(ValueError, match=r'\(8, 8, 3\) became \(4, 4, 3\).*`transforms`'):
        pixels_of([crop], clean_batch(size=8))
