"""Vectors of length 1."""

import torch
from torch import Tensor


def unit_vectors(vectors: Tensor, dim: int = 1) -> Tensor:
    """Scale vectors along a dimension to length 1; a zero vector stays, with a finite gradient."""
    norm = vectors.norm(dim=dim, keepdim=True)
    return vectors / torch.where(norm > 0, norm, torch.ones_like(norm))
