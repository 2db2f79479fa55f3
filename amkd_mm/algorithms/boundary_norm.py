"""How batch norm treats boundary samples."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..classifiers.activation_checkpointing import without_checkpointing

CHOICES = ('update', 'batch', 'running')


@contextmanager
def normalize_boundary_samples(model: nn.Module, choice: str, num_rows: int) -> Iterator[None]:
    """Let a model's batch norm treat samples as ``boundary_norm`` of ``AMKD`` says.

    A single row has no batch statistics in a feature map of one pixel, which PyTorch refuses: it
    gets the running ones. Where batch norm is synchronised it is not alone, and the other processes
    wait for it.

    Rows that are treated otherwise than clean ones are not checkpointed: the backward pass would
    compute them again when batch norm is as for clean rows.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    tracked = [norm.track_running_stats for norm in norms]
    for norm in norms:
        alone = num_rows == 1 and not is_synchronised(norm)
        if choice == 'running' or alone:
            norm.eval()
        elif choice == 'batch':
            norm.track_running_stats = False
    as_clean_rows = not norms or (choice == 'update' and num_rows > 1)
    try:
        with nullcontext() if as_clean_rows else without_checkpointing(model):
            yield
    finally:
        for norm, track in zip(norms, tracked, strict=True):
            norm.train()
            norm.track_running_stats = track


def is_synchronised(module: nn.Module) -> bool:
    """Whether it is PyTorch's or MMCV's synchronised batch norm."""
    return type(module).__name__ == 'SyncBatchNorm'


def has_sync_batch_norm(model: nn.Module) -> bool:
    """Whether a model has PyTorch's or MMCV's synchronised batch norm."""
    return any(map(is_synchronised, model.modules()))
