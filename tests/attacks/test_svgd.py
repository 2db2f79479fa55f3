"""SVGD against plain loops, and on a distribution that is known."""

import math

import pytest
import torch

from amkd_mm.attacks.svgd import clip_to_ball, svgd_direction
from synchronisations import counted_synchronisations


def by_hand(particles, scores):
    """Equation 8 of Liu and Wang, sample by sample."""
    directions = torch.zeros_like(particles)
    for n in range(len(particles)):
        x, count = particles[n], particles.size(1)
        pairs = [(x[i] - x[j]).square().sum() for i in range(count) for j in range(count) if i != j]
        bandwidth = torch.stack(pairs).median() / math.log(count)
        for i in range(count):
            for j in range(count):
                kernel = torch.exp(-(x[j] - x[i]).square().sum() / bandwidth)
                gradient = -2 / bandwidth * (x[j] - x[i]) * kernel
                directions[n, i] += (kernel * scores[n, j] + gradient) / count
    return directions


@pytest.mark.parametrize('count', [2, 4, 5])
def test_direction(count):
    particles, scores = torch.randn(2, 3, count, 6).double()
    torch.testing.assert_close(svgd_direction(particles, scores), by_hand(particles, scores))


def test_one_particle_climbs():
    particles, scores = torch.randn(2, 3, 1, 6)
    torch.testing.assert_close(svgd_direction(particles, scores), scores)


def test_equal_particles_are_finite():
    found = svgd_direction(torch.ones(1, 3, 2), torch.tensor([[[1.0, 2], [3, 4], [5, 6]]]))
    torch.testing.assert_close(found, torch.tensor([[[3.0, 4]] * 3]))


def test_particles_become_a_normal_distribution():
    torch.manual_seed(0)
    particles = torch.rand(1, 60, 1) + 4
    for _ in range(1500):
        particles = particles + 0.3 * svgd_direction(particles, -(particles - 1) / 0.5**2)
    assert particles.mean().item() == pytest.approx(1, abs=0.05)
    assert particles.std().item() == pytest.approx(0.5, abs=0.07)


def test_ball():
    points = torch.tensor([[0.0, 5.0, 2.1]])
    found = clip_to_ball(points, torch.full((1, 3), 2.0), torch.tensor([1.0, 2.0, 0.5]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 4.0, 2.1]]))


def test_no_synchronisation():
    with counted_synchronisations() as found:
        clip_to_ball(svgd_direction(*torch.randn(2, 3, 4, 6)), torch.zeros(3, 4, 6), 1.0)
    assert found.number == 0, found.where
