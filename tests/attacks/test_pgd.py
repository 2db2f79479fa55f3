"""PGD against a library's results, a closed form and a plain loop."""

import pytest
import torch
import torch.nn.functional as F

from amkd_mm.attacks.pgd import pgd
from synchronisations import counted_synchronisations

BOUNDS = torch.tensor(0.0), torch.tensor(1.0)


def network(inputs):
    """A network of formulae, (N, 3, 2, 2) to (N, 4), that no random number decides."""
    points = inputs.flatten(1)
    first, second = (torch.arange(1, stop, dtype=points.dtype) for stop in (7, 5))
    positions = torch.arange(points.size(1), dtype=points.dtype)
    hidden = torch.tanh(3 * points @ torch.cos(torch.outer(positions, first)) - 1)
    return hidden @ torch.sin(torch.outer(first, second))


def images_of(number=6):
    values = torch.arange(number * 12, dtype=torch.float64) * 37 % 101 / 100
    return values.reshape(number, 3, 2, 2)


# By LinfPGD(abs_stepsize, steps, random_start=False) of foolbox 3.3.4: radius, step, number of
# steps, which images withstand it, and the top left pixels of the first three images.
FOOLBOX = [
    (0.01, 0.004, 5, [0, 1, 2, 4, 5], [0, 0.46, 0.93, 0.39, 0.88, 0.32, 0.81, 0.27, 0.72]),
    (0.02, 0.008, 5, [0, 2, 4], [0, 0.45, 0.936, 0.38, 0.89, 0.31, 0.82, 0.28, 0.71]),
    (0.04, 0.016, 5, [0, 4], [0, 0.43, 0.956, 0.392, 0.91, 0.29, 0.84, 0.3, 0.69]),
    (0.1, 0.03, 7, [], [0, 0.37, 1, 0.31, 0.97, 0.23, 0.83, 0.36, 0.63]),
]


@pytest.mark.parametrize(('radius', 'step', 'steps', 'right', 'pixels'), FOOLBOX)
def test_against_foolbox(radius, step, steps, right, pixels):
    images = images_of()
    labels = network(images).argmax(1)

    def loss(points):
        return F.cross_entropy(network(points), labels, reduction='none')

    moved = pgd(loss, images, images, radius, step, steps, BOUNDS)
    assert (network(moved).argmax(1) == labels).nonzero().flatten().tolist() == right
    assert moved[:3, :, 0, 0].flatten().tolist() == pytest.approx(pixels)


def test_a_linear_objective_ends_in_the_corner():
    """Of the ball, as far as that is within the bounds, with a radius for each channel."""
    torch.manual_seed(0)
    images, weights = torch.rand(5, 3, 4, 4), torch.randn(3, 4, 4)
    radius = torch.tensor([0.05, 0.1, 0.4]).view(3, 1, 1)
    starts = images + (2 * torch.rand(images.shape) - 1) * radius
    moved = pgd(
        lambda points: (points * weights).flatten(1).sum(1),
        images,
        starts,
        radius,
        radius / 3,
        6,
        BOUNDS,
    )
    expected = (images + radius * weights.sign()).clamp(0, 1)
    torch.testing.assert_close(moved, expected)
    assert (expected == 1).any() and (expected == 0).any()


def test_neither_graph_nor_gradient_is_left():
    """Also under `no_grad`, where MMRazor and validations are."""
    weights = torch.randn(12, requires_grad=True)
    with torch.no_grad():
        moved = pgd(
            lambda points: points.flatten(1) @ weights,
            images_of().float(),
            images_of().float(),
            0.1,
            0.1,
            2,
            BOUNDS,
        )
    assert not moved.requires_grad and weights.grad is None
    assert not torch.equal(moved, images_of().float())


def test_without_a_gradient_nothing_moves():
    images = images_of()
    moved = pgd(lambda points: torch.ones(6), images, images, 0.1, 0.1, 2, BOUNDS)
    assert torch.equal(moved, images)


def test_no_synchronisation():
    images, weights = torch.rand(5, 3, 4, 4), torch.randn(3, 4, 4)
    with counted_synchronisations() as found:
        pgd(lambda p: (p * weights).flatten(1).sum(1), images, images, 0.1, 0.1, 2, BOUNDS)
    assert found.number == 0, found.where
