"""Images of the validation data."""

from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpretrain.registry import DATASETS
from torch import Tensor

from ..datasets.batches import read_batch


class ValidationImages(NamedTuple):
    """Images as the data set gives them.

    Attributes:
        pixels (Tensor): (N, C, H, W), in [0, 255].
        labels (Tensor): (N,).
        class_names (list[str]): As far as the data set knows them.
    """

    pixels: Tensor
    labels: Tensor
    class_names: list[str]


def draw_validation_images(
    cfg: Config, number: int, generator: torch.Generator, reader: str
) -> ValidationImages:
    """Draw images of the validation data at random.

    Args:
        cfg (Config): With a ``val_dataloader``.
        number (int): Most images.
        generator (torch.Generator): Draws them.
        reader (str): Who needs them, for messages.

    Raises:
        ValueError: If there is no validation data.
        TypeError: If the images differ in size, or do not have one class each.
    """
    if cfg.get('val_dataloader') is None:
        raise ValueError('config: it has no `val_dataloader`, whose images are drawn')
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    rows = torch.randperm(len(dataset), generator=generator)[:number].tolist()
    if not rows:
        raise ValueError('config: the data set of `val_dataloader` is empty')
    batch = pseudo_collate([dataset[row] for row in rows])
    pixels, labels = read_batch(reader, 'val_dataloader.dataset.pipeline', batch)
    names = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    return ValidationImages(pixels, labels, list(map(str, names)))
