"""Stein variational gradient descent on particles in a ball around an image."""

import math

import torch
from torch import Tensor


def svgd_direction(particles: Tensor, scores: Tensor) -> Tensor:
    """Where SVGD moves particles: towards high density, and apart.

    Stein Variational Gradient Descent (Liu and Wang, NeurIPS 2016, equation 8) with an RBF kernel
    whose bandwidth is the squared median distance over the logarithm of the number of particles.

    Args:
        particles (Tensor): P particles of N distributions, (N, P, D).
        scores (Tensor): Gradient of each distribution's log density at its particles, (N, P, D).

    Returns:
        Tensor: (N, P, D).
    """
    count = particles.size(1)
    differences = particles[:, :, None] - particles[:, None]
    squared = differences.square().sum(3)
    # Of the distances to others; a single particle has none.
    apart = ~torch.eye(count, dtype=torch.bool, device=particles.device)
    others = squared[:, apart]
    median = others.median(1).values if count > 1 else squared.new_ones(len(particles))
    # Where particles agree, any bandwidth is right.
    tiny = torch.finfo(median.dtype).tiny
    bandwidth = (median / math.log(max(2, count))).clamp_min(tiny)[:, None, None]
    kernel = (-squared / bandwidth).exp()
    attraction = kernel @ scores
    repulsion = (2 / bandwidth * kernel)[..., None] * differences
    return (attraction + repulsion.sum(2)) / count


def clip_to_ball(points: Tensor, centers: Tensor, radius: Tensor | float) -> Tensor:
    """Points within ``radius`` of the centers in every coordinate (the L-infinity ball)."""
    return torch.minimum(torch.maximum(points, centers - radius), centers + radius)
