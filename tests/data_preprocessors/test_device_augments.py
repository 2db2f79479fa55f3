"""Crops and flips of whole batches: those of MMPretrain's pipeline, each as often as there."""

from itertools import product

import numpy as np
import pytest
import torch
from mmpretrain.registry import TRANSFORMS
from scipy.stats import chi2_contingency, chisquare

from amkd_mm.data_preprocessors import RandomCrop, RandomFlip

# A seed is fixed, so that a test passes or fails for good.
UNLIKELY = 1e-3


def images(number, height=4, width=4, channels=3):
    """All pixels of an image differ, and none is 0 as the padding is, uint8 (N, C, H, W)."""
    pixels = 1 + np.arange(channels * height * width, dtype=np.uint8)
    return torch.from_numpy(np.tile(pixels.reshape(channels, height, width), (number, 1, 1, 1)))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def all_of_mmpretrain(image, crop=None, flip=None):
    """Every image that MMPretrain's transforms can make of one, (C, H, W), by bytes and shape."""
    image = image.numpy().transpose(1, 2, 0)
    made = [image]
    if crop:
        transform = TRANSFORMS.build(dict(crop, type='mmpretrain.RandomCrop'))
        cropped = {}
        # Random numbers of MMPretrain; far more than there are places.
        state = np.random.RandomState(0)
        for _ in range(3000):
            np.random.seed(state.randint(2**31))
            found = transform.transform(dict(img=image))['img']
            cropped[found.tobytes()] = found
        made = list(cropped.values())
    if flip:
        always = TRANSFORMS.build(dict(type='mmpretrain.RandomFlip', **{**flip, 'prob': 1.0}))
        made += [always.transform(dict(img=one.copy()))['img'] for one in made]
    return {(one.shape, one.tobytes()) for one in made}


def key_of(image):
    image = image.numpy().transpose(1, 2, 0)
    return image.shape, image.tobytes()


@pytest.mark.parametrize(
    'crop',
    [
        dict(crop_size=4, padding=1),
        dict(crop_size=(3, 5), padding=(1, 2)),
        dict(crop_size=(4, 5), padding=(0, 1, 2, 1), pad_val=(7, 100, 255)),
        dict(crop_size=3),
        dict(crop_size=(2, 9), padding=1, pad_val=(200, 3, 5)),  # No wider than the padded image.
        dict(crop_size=4),
    ],
    ids=str,
)
def test_crops_are_those_of_mmpretrain(crop):
    batch = images(600, height=4, width=5)
    before = batch.clone()
    found = RandomCrop(**crop)(batch, generator())
    assert found.dtype == torch.uint8
    assert torch.equal(batch, before)
    assert {key_of(image) for image in found} == all_of_mmpretrain(batch[0], crop)


def test_one_padding_value_is_for_all_channels():
    """OpenCV, and with it MMPretrain, gives a single number to the first channel alone."""
    found = RandomCrop(crop_size=6, padding=1, pad_val=200)(images(1), generator())[0]
    assert (found[:, 0] == 200).all() and (found[:, :, -1] == 200).all()
    assert torch.equal(found[:, 1:5, 1:5], images(1)[0])


@pytest.mark.parametrize('direction', ['horizontal', 'vertical', 'diagonal'])
def test_flips_are_those_of_mmpretrain(direction):
    batch = images(50, height=4, width=5)
    flip = dict(prob=0.5, direction=direction)
    found = RandomFlip(**flip)(batch, generator())
    assert {key_of(image) for image in found} == all_of_mmpretrain(batch[0], flip=flip)
    assert torch.equal(RandomFlip(0, direction)(batch, generator()), batch)
    always = RandomFlip(1.0, direction)(batch, generator())
    dims = dict(horizontal=[3], vertical=[2], diagonal=[2, 3])[direction]
    assert torch.equal(always, batch.flip(dims))


# Rows and columns of the padding, and whether flipped: 3 x 3 x 2 outcomes for 4 x 4 pixels.
OUTCOMES = list(product(range(3), range(3), (False, True)))


def outcomes_of(augmented, image):
    """Which of the ``OUTCOMES`` each image is, by comparison with plain loops."""
    padded = np.zeros((3, 6, 6), np.uint8)
    padded[:, 1:5, 1:5] = image.numpy()
    possible = {}
    for number, (top, left, is_flipped) in enumerate(OUTCOMES):
        made = np.zeros((3, 4, 4), np.uint8)
        for row, column in product(range(4), range(4)):
            source = left + (3 - column if is_flipped else column)
            made[:, row, column] = padded[:, top + row, source]
        possible[made.tobytes()] = number
    assert len(possible) == len(OUTCOMES)
    # A KeyError here is an image that no crop and flip makes.
    return np.array([possible[one.tobytes()] for one in augmented.numpy()])


def augment(batch, seed=0, prob=0.5):
    numbers = generator(seed)
    batch = RandomCrop(crop_size=4, padding=1)(batch, numbers)
    return RandomFlip(prob)(batch, numbers)


def test_every_crop_and_flip_is_equally_likely():
    batch = images(9000)
    found = outcomes_of(augment(batch), batch[0])
    counts = np.bincount(found, minlength=len(OUTCOMES))
    assert chisquare(counts).pvalue > UNLIKELY


@pytest.mark.parametrize('prob', [0.1, 0.5])
def test_as_often_as_in_mmpretrains_pipeline(prob):
    batch = images(3000)
    ours = outcomes_of(augment(batch, prob=prob), batch[0])
    np.random.seed(0)
    pipeline = [
        TRANSFORMS.build(dict(type='mmpretrain.RandomCrop', crop_size=4, padding=1)),
        TRANSFORMS.build(dict(type='mmpretrain.RandomFlip', prob=prob)),
    ]
    theirs = []
    for image in batch:
        results = dict(img=image.numpy().transpose(1, 2, 0))
        for transform in pipeline:
            results = transform.transform(results)
        theirs.append(results['img'].transpose(2, 0, 1).copy())
    theirs = outcomes_of(torch.from_numpy(np.stack(theirs)), batch[0])
    counts = [np.bincount(found, minlength=len(OUTCOMES)) for found in (ours, theirs)]
    assert chi2_contingency(counts).pvalue > UNLIKELY


def test_images_of_a_batch_are_drawn_for_alone():
    """What becomes of an image says nothing about its neighbour, nor its crop about its flip."""
    batch = images(20_000)
    found = outcomes_of(augment(batch), batch[0])
    pairs = np.zeros((len(OUTCOMES),) * 2)
    np.add.at(pairs, (found[::2], found[1::2]), 1)
    assert chi2_contingency(pairs).pvalue > UNLIKELY


def test_a_seed_gives_the_same_images():
    batch = images(50)
    assert torch.equal(augment(batch, seed=3), augment(batch, seed=3))
    assert not torch.equal(augment(batch, seed=3), augment(batch, seed=4))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_makes_the_images_of_a_cpu():
    batch = images(50)
    assert torch.equal(augment(batch.cuda()).cpu(), augment(batch))
