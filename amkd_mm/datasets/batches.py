"""Batches as MMPretrain's datasets give them."""

from typing import Any

import torch
from torch import Tensor


def read_batch(reader: str, pipeline: str, data_batch: dict) -> tuple[Tensor, Tensor]:
    """Clean images and labels of a batch.

    Args:
        reader (str): Who needs them, for messages.
        pipeline (str): Config key of the pipeline that made the batch, for messages.
        data_batch (dict): As the dataloader gives it.

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
    image_size(reader, pipeline, data_batch)
    images = data_batch['inputs']
    if not isinstance(images, Tensor):
        images = torch.stack(list(images))
    labels = labels_of(data_batch['data_samples'])
    if labels is None:
        raise TypeError(f'{reader} needs single-label samples, one `gt_label` each')
    return images, labels


def image_size(reader: str, pipeline: str, data_batch: dict) -> tuple[int, int]:
    """Height and width of a batch's images; arguments are those of :func:`read_batch`.

    Raises:
        TypeError: If the batch has images of several sizes.
    """
    images = data_batch['inputs']
    shapes = {
        tuple(image.shape) for image in (images[:1] if isinstance(images, Tensor) else images)
    }
    if len(shapes) > 1:
        raise TypeError(
            f'{reader} needs images of one size in a batch, but got '
            f'{sorted(shapes)}: resize or crop them in the `{pipeline}`'
        )
    return shapes.pop()[-2:]


def labels_of(samples: Any) -> Tensor | None:
    """Labels (N,) of data samples, or None if they are something else than one class each."""
    if not isinstance(samples, (list, tuple)) or not samples:
        return None
    labels = [getattr(sample, 'gt_label', None) for sample in samples]
    if any(not isinstance(label, Tensor) or label.numel() != 1 for label in labels):
        return None
    # Most have a dimension already, and to reshape each would take longer than all else.
    return torch.cat([label if label.dim() == 1 else label.reshape(1) for label in labels])
