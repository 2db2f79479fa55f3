"""A warning for a teacher that knows nothing."""

import math
import warnings

from mmengine.structures import BaseDataElement
from torch import Tensor

from ..datasets.batches import labels_of
from .keys import SINGLE, TeacherKeys

# Batches looked at.
BATCHES = 10


def is_guessing(correct: int, total: int, classes: int) -> bool:
    """Whether hits are too few to be told from guessing.

    The limit is two standard deviations above the mean of guessing.

    Args:
        correct (int): Images that are classified correctly.
        total (int): All images, at least 1.
        classes (int): Number of classes.
    """
    chance = 1 / classes
    deviation = math.sqrt(chance * (1 - chance) / total)
    # Of a few images it may be right on all.
    return correct < total and correct / total <= chance + 2 * deviation


class ChanceCheck:
    """Warns once if a teacher's accuracy over the first batches is that of guessing.

    The usual causes are a teacher without weights, or with another normalisation or label order.

    Args:
        keys (TeacherKeys): Where the config has the teacher. Defaults to those of a single one.
    """

    def __init__(self, keys: TeacherKeys = SINGLE) -> None:
        self.keys = keys
        self.batches = self.correct = self.total = 0

    def update(self, logits: Tensor, data_samples: list[BaseDataElement]) -> None:
        """Count the teacher's hits on a batch, given its logits (N, K) and N data samples."""
        if self.batches == BATCHES:
            return
        labels = labels_of(data_samples)
        if not isinstance(logits, Tensor) or labels is None:
            return
        predictions = logits.argmax(1)
        self.correct += int((predictions == labels.to(predictions)).sum())
        self.total += len(labels)
        self.batches += 1
        if self.batches == BATCHES and is_guessing(self.correct, self.total, logits.size(1)):
            warnings.warn(
                f'{self.keys.title} classifies {self.correct / self.total:.1%} of the first '
                f'{self.total} training images correctly, which is guessing among '
                f'{logits.size(1)} classes: check `{self.keys.checkpoint}`, its normalisation '
                '(`data_preprocessor`) and the order of the classes',
                stacklevel=2,
            )
