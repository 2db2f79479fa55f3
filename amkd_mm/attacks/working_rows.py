"""The samples that an attack still works on: masked where they are done, or dropped."""

from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

State = TypeVar('State', bound=NamedTuple)


class WithRows(Protocol):
    """What is known of M samples that are still worked on."""

    @property
    def rows(self) -> Tensor:
        """Their places in the batch, (M,) int64."""


def select(mask: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Rows of ``first`` where the mask (N,) is true, of ``second`` elsewhere: (N, ...)."""
    return torch.where(mask.reshape(-1, *[1] * (first.dim() - 1)), first, second)


def take(state: State, rows: Tensor | slice) -> State:
    """Some rows, (M,) int64 or a slice, of a named tuple of tensors with one row per sample."""
    return type(state)(*(value[rows] for value in state))


def store(state: WithRows, whole: NamedTuple) -> None:
    """Write the fields that ``whole`` has into it, at the state's ``rows``."""
    for name, value in whole._asdict().items():
        value[state.rows] = getattr(state, name)


def rows_by_kind(kinds: Tensor, number: int) -> tuple[Tensor, ...]:
    """Indices of the rows of each kind, ascending.

    The numbers of rows are all that the host must know of a step: reading them is its only
    synchronisation.

    Args:
        kinds (Tensor): Of each row a kind below ``number``, (N,) integers.
        number (int): How many kinds there are.

    Returns:
        tuple[Tensor, ...]: int64, together (N,).
    """
    counts = (kinds == torch.arange(number, device=kinds.device)[:, None]).sum(1)
    return kinds.sort(stable=True).indices.split(counts.tolist())
