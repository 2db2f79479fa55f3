"""Distances to the boundary of a linear classifier have a closed form."""

import pytest
import torch
from mmpretrain.models import ClsDataPreprocessor

from amkd_mm.analysis import distances, first_of_each_class, move_to_boundary
from amkd_mm.attacks import BoundarySearch
from amkd_mm.data_preprocessors.normalizer import Normalizer


@pytest.mark.parametrize('batch_size', [4, 64])
def test_distance_to_a_hyperplane(batch_size):
    """|margin| / ||w||, in pixel values, whatever the images are normalised by."""
    generator = torch.Generator().manual_seed(0)
    pixels = (100 + 50 * torch.rand(10, 3, 4, 4, generator=generator)).round().byte()
    preprocessor = ClsDataPreprocessor(mean=[90.0, 100.0, 110.0], std=[50.0] * 3, to_rgb=True)
    normalizer = Normalizer(preprocessor)
    weight = torch.randn(48, 2, generator=generator)
    inputs = normalizer.normalize(pixels)
    # Not so far apart that a pixel leaves its range
    logits = 0.01 * inputs.flatten(1) @ weight
    labels = logits.argmax(1)

    def classify(batch):
        return 0.01 * batch.flatten(1) @ weight

    attack = BoundarySearch(tolerance=1e-5, overshoot=0.0, max_steps=20)
    result = move_to_boundary(attack, classify, normalizer, pixels, labels, 1 - labels, batch_size)
    assert result.reached.all()
    assert result.inputs.shape == pixels.shape
    margin = (logits[:, 0] - logits[:, 1]).abs()
    # In normalised units, and 50 times that in pixels.
    expected = 50 * margin / (0.01 * (weight[:, 0] - weight[:, 1]).norm())
    found = distances(pixels, result.inputs)
    # Within the tolerance of the probabilities, which is one of the logits
    slack = 50 * 4e-5 / (0.01 * (weight[:, 0] - weight[:, 1]).norm())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=float(slack))
    # Straight across the boundary
    assert (classify(normalizer.normalize(result.inputs)).argmax(1) == 1 - labels).all()


def test_no_images():
    empty = torch.zeros(0, 3, 4, 4), torch.zeros(0).long(), torch.zeros(0).long()
    normalizer = Normalizer(ClsDataPreprocessor())
    result = move_to_boundary(BoundarySearch(), lambda x: x.flatten(1), normalizer, *empty)
    assert len(result.inputs) == len(result.reached) == 0
    assert len(distances(empty[0], result.inputs)) == 0


def test_distances_by_hand():
    images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    moved = torch.tensor([[3.0, 4.0, 0, 0], [0, 0, 0, 255]]).reshape(2, 1, 2, 2)
    assert distances(images, moved).tolist() == [5, 255]


def test_the_first_of_each_class_comes_first():
    labels = torch.tensor([5, 5, 1, 5, 1, 7])
    suitable = torch.tensor([False, True, True, True, True, True])
    assert first_of_each_class(labels, suitable, 10) == [1, 2, 5, 3, 4]
    assert first_of_each_class(labels, suitable, 2) == [1, 2]
