"""How batch norm treats boundary rows."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

CHOICES = ('update', 'batch', 'running')


def check_boundary_norm(choice: str) -> None:
    """Raise ``ValueError`` unless it is one of the choices."""
    if choice not in CHOICES:
        raise ValueError(f'model.boundary_norm must be one of {CHOICES}, not {choice!r}')


@contextmanager
def normalize_boundary_rows(model: nn.Module, choice: str, num_rows: int) -> Iterator[None]:
    """Let a model's batch norm treat rows as ``boundary_norm`` of ``AMKD`` says.

    A single row has no batch statistics in a feature map of one pixel, which PyTorch refuses: it
    gets the running ones.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    tracked = [norm.track_running_stats for norm in norms]
    for norm in norms:
        if choice == 'running' or num_rows == 1:
            norm.eval()
        elif choice == 'batch':
            norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, track in zip(norms, tracked, strict=True):
            norm.train()
            norm.track_running_stats = track
