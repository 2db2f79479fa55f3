"""Batches as MMPretrain's datasets give them."""

from typing import Any

import torch
from torch import Tensor

from . import boundary_rows


def read_batch(reader: str, pipeline: str, data_batch: dict) -> tuple[Tensor, Tensor]:
    """Clean images and labels of a batch.

    Args:
        reader (str): Who needs them, for messages.
        pipeline (str): Config key of the pipeline that made the batch, for messages.
        data_batch (dict): As the dataloader gives it, with or without appended rows.

    Returns:
        tuple: Images (N, C, H, W), as they are, and labels (N,), on the batch's device.

    Raises:
        TypeError: If the batch has no ``inputs`` and ``data_samples``, images of several sizes, or
            other labels than one class an image.
    """
    if not isinstance(data_batch, dict) or not {'inputs', 'data_samples'} <= set(data_batch):
        raise TypeError(
            f'{reader} needs batches with `inputs` and `data_samples`: end the '
            f"`{pipeline}` with dict(type='PackInputs')"
        )
    samples = data_batch['data_samples']
    samples = [sample for sample in samples if not boundary_rows.is_boundary(sample)]
    images = data_batch['inputs'][: len(samples)]
    if not isinstance(images, Tensor):
        shapes = {tuple(image.shape) for image in images}
        if len(shapes) > 1:
            raise TypeError(
                f'{reader} needs images of one size in a batch, but got '
                f'{sorted(shapes)}: resize or crop them in the `{pipeline}`'
            )
        images = torch.stack(list(images))
    labels = labels_of(samples)
    if labels is None:
        raise TypeError(f'{reader} needs single-label samples, one `gt_label` each')
    return images, labels


def labels_of(samples: Any) -> Tensor | None:
    """Labels (N,) of data samples, or None if they are something else than one class each."""
    if not isinstance(samples, (list, tuple)) or not samples:
        return None
    labels = [getattr(sample, 'gt_label', None) for sample in samples]
    if any(not isinstance(label, Tensor) or label.numel() != 1 for label in labels):
        return None
    # Most have a dimension already, and to reshape each would take longer than all else.
    return torch.cat([label if label.dim() == 1 else label.reshape(1) for label in labels])
