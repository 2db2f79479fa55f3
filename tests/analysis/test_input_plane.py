"""Coordinates in a plane are distances of images, and regions are what a network decides."""

import numpy as np
import pytest
import torch

from amkd_mm.analysis import InputPlane, plane_regions

SHAPE = (3, 5, 4)


def three_images():
    return 255 * torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))


def test_three_images_come_back():
    images = three_images()
    plane = InputPlane.through(*images)
    points = plane.coordinates(images)
    torch.testing.assert_close(plane.images(points).float(), images)
    # The first at the origin, the second on the first axis, the third above it.
    assert points[0].tolist() == [0, 0]
    assert points[1, 0] > 0
    assert abs(points[1, 1]) < 1e-9
    assert points[2, 1] > 0


def test_lengths_are_l2_distances():
    images = three_images()
    points = InputPlane.through(*images).coordinates(images)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        expected = np.sqrt(((images[i] - images[j]).numpy().astype(float) ** 2).sum())
        assert float((points[i] - points[j]).norm()) == pytest.approx(expected, rel=1e-6)


def test_an_image_beside_the_plane_is_projected():
    images = three_images()
    plane = InputPlane.through(*images)
    normal = torch.rand(1, *SHAPE, dtype=torch.float64)
    normal = normal - (plane.images(plane.coordinates(plane.origin + normal)) - plane.origin)
    inside = plane.images(torch.tensor([[3.0, -2.0]]))
    torch.testing.assert_close(
        plane.coordinates(inside + 9 * normal), torch.tensor([[3.0, -2.0]], dtype=torch.float64)
    )


@pytest.mark.parametrize('second', ['the origin', 'the first', 'beyond'])
def test_images_on_a_line_have_no_plane(second):
    origin, first, _ = three_images()
    second = {'the origin': origin, 'the first': first, 'beyond': 3 * first - 2 * origin}[second]
    for pair in ((first, second), (second, first)):
        with pytest.raises(ValueError, match='on a line'):
            InputPlane.through(origin, *pair)


def test_regions_of_a_linear_classifier_are_half_planes():
    """Which side of a straight line a point is on follows from the weights alone."""
    images = three_images()
    plane = InputPlane.through(*images)
    weight = torch.randn(images[0].numel(), 2, generator=torch.Generator().manual_seed(1))
    bias = -(images.mean(0).flatten() @ weight)

    def classify(batch):
        assert batch.dtype == torch.float32 and len(batch) <= 50
        return batch.flatten(1) @ weight + bias

    found = plane_regions(plane, images, dict(net=classify), size=21, batch_size=50)
    difference = (weight[:, 1] - weight[:, 0]).double()
    slope = (plane.axes @ difference).numpy()
    offset = float(plane.origin.flatten() @ difference + (bias[1] - bias[0]))
    xs, ys = np.meshgrid(found.xs, found.ys)
    expected = (slope[0] * xs + slope[1] * ys + offset > 0).astype(int)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(found.classes['net'], expected)


def test_the_square_holds_the_images():
    images = three_images()
    plane = InputPlane.through(*images)
    found = plane_regions(plane, images, dict(net=lambda x: x.flatten(1)[:, :2]), size=9)
    np.testing.assert_allclose(found.points, plane.coordinates(images).numpy())
    low, high = found.points.min(0), found.points.max(0)
    side = found.xs[-1] - found.xs[0]
    assert side == pytest.approx(found.ys[-1] - found.ys[0])
    assert side == pytest.approx(2 * (high - low).max())
    middle = (found.xs[[0, -1]].mean(), found.ys[[0, -1]].mean())
    np.testing.assert_allclose(middle, (low + high) / 2)
