"""Normalizer against the preprocessors that it inverts."""

import pytest
import torch
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor

from amkd_mm.data_preprocessors import DeviceAugmentDataPreprocessor
from amkd_mm.data_preprocessors.normalizer import Normalizer

COLOUR = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
GRAY = dict(mean=[33.0], std=[79.0])
FLIP = dict(type='RandomFlip', prob=1.0)
PREPROCESSORS = [
    (ClsDataPreprocessor, dict(), 3),
    (ClsDataPreprocessor, dict(to_rgb=True), 3),
    (ClsDataPreprocessor, COLOUR, 3),
    (ClsDataPreprocessor, dict(to_rgb=True, **COLOUR), 3),
    # Integers, as in MMPretrain's older configs.
    (ClsDataPreprocessor, dict(mean=[120, 110, 100], std=[60, 50, 40]), 3),
    (ClsDataPreprocessor, dict(to_onehot=True, num_classes=10, **COLOUR), 3),
    (ClsDataPreprocessor, dict(pad_size_divisor=4, **COLOUR), 3),
    (ClsDataPreprocessor, dict(pad_size_divisor=32, pad_value=2, to_rgb=True, **COLOUR), 3),
    (ClsDataPreprocessor, dict(to_rgb=True, **GRAY), 1),
    (ClsDataPreprocessor, dict(mean=[1.0, 2.0, 3.0, 4.0], std=[5.0] * 4, to_rgb=True), 4),
    (DeviceAugmentDataPreprocessor, dict(device_augments=[FLIP], to_rgb=True, **COLOUR), 3),
    (ImgDataPreprocessor, dict(), 3),
    (ImgDataPreprocessor, COLOUR, 3),
    (ImgDataPreprocessor, dict(bgr_to_rgb=True, **COLOUR), 3),
    (ImgDataPreprocessor, dict(rgb_to_bgr=True, pad_size_divisor=8, pad_value=-1.5), 3),
    (ImgDataPreprocessor, dict(pad_size_divisor=3, **GRAY), 1),
]
each_preprocessor = pytest.mark.parametrize(('kind', 'settings', 'channels'), PREPROCESSORS)


def images(channels, height=7, width=10, dtype=torch.uint8):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (5, channels, height, width), generator=generator)
    pixels[0], pixels[1] = 0, 255
    return pixels.to(dtype)


@each_preprocessor
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
def test_forward_is_that_of_the_preprocessor(kind, settings, channels, dtype):
    preprocessor = kind(**settings)
    pixels = images(channels, dtype=dtype)
    before = pixels.clone()
    normalizer = Normalizer(preprocessor)
    found = normalizer.pad(normalizer.normalize(pixels))
    for expected in (
        preprocessor(dict(inputs=pixels.clone()), False)['inputs'],
        preprocessor(dict(inputs=list(pixels.clone())), False)['inputs'],
    ):
        assert found.shape == expected.shape and found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    normalizer.check(pixels)
    assert torch.equal(pixels, before)


@each_preprocessor
def test_roundtrip(kind, settings, channels):
    normalizer = Normalizer(kind(**settings))
    pixels = images(channels)
    found = normalizer.denormalize(normalizer.normalize(pixels))
    assert found.dtype == torch.float32 and found.shape == pixels.shape
    torch.testing.assert_close(found, pixels.float(), rtol=0, atol=1e-3)


@each_preprocessor
def test_bounds_are_black_and_white(kind, settings, channels):
    preprocessor = kind(**settings)
    normalizer = Normalizer(preprocessor)
    low, high = normalizer.bounds
    for bound, value in ((low, 0), (high, 255)):
        extreme = torch.full((1, channels, 2, 2), value, dtype=torch.uint8)
        expected = preprocessor(dict(inputs=extreme), False)['inputs'][..., :2, :2]
        torch.testing.assert_close(bound.expand_as(expected).float(), expected)
        # As the dataloader orders them, each is the same for all channels.
        pixels = normalizer.denormalize(bound.float().expand(1, channels, 2, 2))
        torch.testing.assert_close(pixels, extreme.float(), rtol=0, atol=1e-3)


@each_preprocessor
def test_pixels_stay_in_range(kind, settings, channels):
    normalizer = Normalizer(kind(**settings))
    inputs = 1000 * torch.randn(4, channels, 6, 6, generator=torch.Generator().manual_seed(0))
    pixels = normalizer.denormalize(inputs)
    assert pixels.min() == 0 and pixels.max() == 255


def test_padding_is_right_and_bottom_and_differentiable():
    normalizer = Normalizer(ClsDataPreprocessor(pad_size_divisor=4, pad_value=9))
    inputs = torch.rand(2, 3, 6, 7, requires_grad=True)
    padded = normalizer.pad(inputs)
    assert padded.shape == (2, 3, 8, 8)
    assert torch.equal(padded[..., :6, :7], inputs)
    assert (padded[..., 6:, :] == 9).all() and (padded[..., 7:] == 9).all()
    padded.sum().backward()
    assert torch.equal(inputs.grad, torch.ones_like(inputs))


class Noisy(ClsDataPreprocessor):
    def forward(self, data, training=False):
        data = super().forward(data, training)
        return dict(data, inputs=data['inputs'] + 0.01)


class Cropping(ClsDataPreprocessor):
    def forward(self, data, training=False):
        data = super().forward(data, training)
        return dict(data, inputs=data['inputs'][..., 1:, 1:])


class Unit(ClsDataPreprocessor):
    """Scales to [0, 1], without the settings by which the others do."""

    def forward(self, data, training=False):
        return dict(inputs=self.cast_data(data['inputs']).float() / 255)


@pytest.mark.parametrize(
    ('preprocessor', 'channels'),
    [
        (Noisy(**COLOUR), 3),
        (Cropping(**COLOUR), 3),
        (Unit(), 3),
        # It leaves the images as integers.
        (BaseDataPreprocessor(), 3),
        # Makes three channels of one.
        (ClsDataPreprocessor(**COLOUR), 1),
    ],
)
def test_preprocessors_that_do_something_else_are_refused(preprocessor, channels):
    with pytest.raises(TypeError, match=type(preprocessor).__name__):
        Normalizer(preprocessor).check(images(channels))


@pytest.mark.parametrize('scale', [-1.0, 1.01, 1 / 255])
def test_images_out_of_range_are_refused(scale):
    with pytest.raises(TypeError, match=r'\[0, 255\].*normalisation'):
        Normalizer(ClsDataPreprocessor()).check(images(3).float() * scale)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_pixels_that_are_no_numbers_are_refused(value):
    """By a message of their own: no other preprocessor would help."""
    broken = images(3).float()
    broken[1, 0, 2, 2] = value
    with pytest.raises(ValueError, match='pixels that are NaN or infinite'):
        Normalizer(ClsDataPreprocessor()).check(broken)
