"""Features of student and teacher: their form, size and precision, for losses and connectors."""

import torch
import torch.nn.functional as F
from torch import Tensor


def check_map(key: str, feature: Tensor, channels: int | None = None) -> None:
    """Check what a loss gets where it needs a feature map.

    Args:
        key (str): Class and argument, for the message.
        feature (Tensor): What it gets.
        channels (int, optional): How many channels it must have. Defaults to None, any number.

    Raises:
        ValueError: If it is not (N, C, H, W), or has other channels.
    """
    if feature.dim() != 4 or (channels is not None and feature.size(1) != channels):
        wanted = f'(N, {channels or "C"}, H, W)'
        raise ValueError(f'{key} must be of a feature map {wanted}, not {tuple(feature.shape)}')


def as_map(feature: Tensor) -> Tensor:
    """A map, (N, C, H, W), as it is, and an embedding, (N, C), as one of a single place."""
    return feature[:, :, None, None] if feature.dim() == 2 else feature


def pool_to_smaller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Average two maps, (N, C, H, W) and (N, C', H', W'), to the smaller height and width."""
    (height, width), (other_height, other_width) = first.shape[2:], second.shape[2:]
    size = min(height, other_height), min(width, other_width)
    pooled = [
        each if tuple(each.shape[2:]) == size else F.adaptive_avg_pool2d(each, size)
        for each in (first, second)
    ]
    return pooled[0], pooled[1]


def in_full(tensor: Tensor) -> Tensor:
    """A tensor of half precision as float32; others stay."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def check_same_batch(name: str, s_feature: Tensor, t_feature: Tensor) -> None:
    """Raise ``ValueError`` unless student and teacher have features of as many images."""
    if len(s_feature) != len(t_feature):
        raise ValueError(
            f'{name} compares images of one batch, but s_feature has {len(s_feature)} and '
            f't_feature {len(t_feature)}: give both the same `record_idx`'
        )
