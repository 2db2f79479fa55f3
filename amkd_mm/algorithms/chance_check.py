"""A warning for a teacher that knows nothing."""

import math
import warnings

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

# Batches looked at.
BATCHES = 10


class ChanceCheck:
    """Warns once if a teacher's accuracy over the first batches is that of guessing.

    The usual causes are a teacher without weights, or with another normalisation or label order.
    The limit is two standard deviations above the mean of guessing.
    """

    def __init__(self) -> None:
        self.batches = self.correct = self.total = 0

    def update(self, logits: Tensor, data_samples: list[BaseDataElement]) -> None:
        """Count the teacher's hits on a batch, given its logits (N, K) and N data samples."""
        if self.batches == BATCHES:
            return
        labels = [sample.get('gt_label') for sample in data_samples]
        if not isinstance(logits, Tensor) or any(x is None or x.numel() != 1 for x in labels):
            return
        predictions = logits.argmax(1)
        self.correct += int((predictions == torch.cat(labels).to(predictions)).sum())
        self.total += len(labels)
        self.batches += 1
        chance = 1 / logits.size(1)
        deviation = math.sqrt(chance * (1 - chance) / self.total)
        accuracy = self.correct / self.total
        if self.batches == BATCHES and accuracy <= chance + 2 * deviation:
            warnings.warn(
                f'the teacher classifies {accuracy:.1%} of the first {self.total} training '
                f'images correctly, which is guessing among {logits.size(1)} classes: check '
                '`model.teacher_ckpt`, its normalisation (`data_preprocessor`) and the order of '
                'the classes',
                stacklevel=2,
            )
