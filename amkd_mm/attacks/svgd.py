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
    # By differences: the products of nearby particles would cancel.
    squared = torch.cdist(
        particles, particles, compute_mode='donot_use_mm_for_euclid_dist'
    ).square()
    # Of the distances to others; a single particle has none.
    median = (
        off_diagonal(squared).median(1).values if count > 1 else squared.new_ones(len(particles))
    )
    # Where particles agree, any bandwidth is right.
    tiny = torch.finfo(median.dtype).tiny
    bandwidth = (median / math.log(max(2, count))).clamp_min(tiny)[:, None, None]
    kernel = (-squared / bandwidth).exp()
    attraction = kernel @ scores
    # The sum over j of k_ij (x_i - x_j), about their mean.
    centered = particles - particles.mean(1, keepdim=True)
    apart = kernel.sum(2, keepdim=True) * centered - kernel @ centered
    return (attraction + 2 / bandwidth * apart) / count


def off_diagonal(matrices: Tensor) -> Tensor:
    """Entries outside the diagonal, row by row: (N, P, P) to (N, P (P - 1)).

    By the shape, because a mask would be counted on the host: without the first entry, every
    stretch of P + 1 ends on the diagonal.
    """
    count = matrices.size(1)
    stretches = matrices.flatten(1)[:, 1:].unflatten(1, (count - 1, count + 1))
    return stretches[:, :, :-1].flatten(1)


def clip_to_ball(points: Tensor, centers: Tensor, radius: Tensor | float) -> Tensor:
    """Points within ``radius`` of the centers in every coordinate (the L-infinity ball)."""
    return torch.minimum(torch.maximum(points, centers - radius), centers + radius)
