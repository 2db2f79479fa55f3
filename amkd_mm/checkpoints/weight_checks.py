"""Weights of a checkpoint that cannot be those of a trained network."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# The range that an observer of quantisation has seen begins with infinite numbers.
OBSERVED = ('.min_val', '.max_val')


def check_weights(weights: Mapping[str, Any], expected: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that are not finite, or not of a floating type where the network's are.

    Args:
        weights (Mapping[str, Any]): The state dict of the checkpoint.
        expected (Mapping[str, Tensor]): That of the network.
        source (str): What the message begins with, the key of the config and the file.

    Raises:
        ValueError: If a tensor has NaN or infinite values, is of integers or booleans where the
            network has floating numbers, or is a negative variance of batch norm.
    """
    for key, value in weights.items():
        if not isinstance(value, Tensor):
            continue
        wrong = ''
        if not value.is_floating_point():
            if key in expected and expected[key].is_floating_point():
                wrong = f'is of type {value.dtype}, and the network has {expected[key].dtype}'
        elif not torch.isfinite(value).all() and not key.endswith(OBSERVED):
            number = int((~torch.isfinite(value)).sum())
            wrong = f'has {number} values of {value.numel()} that are NaN or infinite'
        elif key.endswith('running_var') and (value < 0).any():
            wrong = 'is a variance, and has negative values'
        if wrong:
            raise ValueError(
                f'{source}: {key!r} {wrong}: this is no checkpoint of a trained network; give an '
                'earlier one, or train it again'
            )
