"""What a sampler gets and gives."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..config.int_or_fraction import to_absolute
from ..data_preprocessors.normalizer import Normalizer


class CleanBatch(NamedTuple):
    """A clean batch, and what the networks say of it.

    Attributes:
        inputs (Tensor): Normalised images without the preprocessor's padding, (N, C, H, W).
        labels (Tensor): (N,) int64.
        teacher_logits (Tensor): Of the teacher in evaluation mode, (N, K).
        student_logits (Tensor, optional): Of the student in this very step, (N, K). None unless
            the sampler's ``needs_student`` is set.
        teacher (Callable): Maps normalised inputs (M, C, H, W) without padding to logits (M, K),
            in evaluation mode and with a gradient for the inputs.
        student (Callable): The same of the student, which this leaves as it is: modes, statistics
            of its batch norm, and records. Unlike ``student_logits`` these are of evaluation mode.
        normalizer (Normalizer): The way between pixels and normalised inputs, and their bounds.
    """

    inputs: Tensor
    labels: Tensor
    teacher_logits: Tensor
    student_logits: Tensor | None
    teacher: Callable[[Tensor], Tensor]
    student: Callable[[Tensor], Tensor]
    normalizer: Normalizer

    def of_student(self) -> Tensor:
        """The student's logits, (N, K).

        Raises:
            ValueError: If there are none, because the sampler did not ask for them.
        """
        if self.student_logits is None:
            raise ValueError(
                "a sampler that looks at the student's logits must say so: `needs_student`"
            )
        return self.student_logits


class Samples(NamedTuple):
    """Samples made from a clean batch.

    Attributes:
        inputs (Tensor): Normalised, without padding, (M, C, H, W). M may be 0.
        origins (Tensor): The clean inputs that they were made from, (M, C, H, W).
        rows (Tensor): Their rows in the clean batch, (M,) int64; -1 for those of an earlier batch.
        labels (Tensor): Labels of the images that they were made from, (M,) int64.
        targets (Tensor): The class that each was moved towards, (M,) int64; -1 for none.
        teacher_logits (Tensor, optional): The teacher's logits at ``inputs``, (M, K), where the
            sampler knows them.
        statistics (dict[str, Tensor]): What there is to log, scalars; NaN for what has no value.
        teacher (str, optional): Of an ensemble of teachers, the member that was asked. None, the
            default, for their mean, or the only one. Set by the algorithm.
    """

    inputs: Tensor
    origins: Tensor
    rows: Tensor
    labels: Tensor
    targets: Tensor
    teacher_logits: Tensor | None
    statistics: dict[str, Tensor]
    teacher: str | None = None


class Sampler(ABC):
    """Makes samples from a clean batch. It knows nothing of runners, batches and hooks."""

    needs_student: bool = False
    """Whether it looks at the student's logits, in the next call."""

    @abstractmethod
    def __call__(self, batch: CleanBatch, generator: torch.Generator) -> Samples:
        """Make samples.

        Args:
            batch (CleanBatch): What to make them from.
            generator (torch.Generator): Source of all random numbers, on the CPU, so that a run
                does not depend on the device.
        """


@dataclass
class SampleRequest:
    """A hook's wish for samples in the next step, and what came of it.

    Attributes:
        seed (int): Of all random numbers of the sampler.
        size (tuple[int, int]): Height and width of the images, without padding.
        amp (bool): Whether to make the samples in the mixed precision of the training.
        teacher (str, optional): Of an ensemble of teachers, the member that the sampler asks. None,
            the default, for their mean, or the only one.
        samples (Samples, optional): What the sampler gave; None if no step or no loss asked it.
        seconds (float): How long it took.
    """

    seed: int
    size: tuple[int, int]
    amp: bool = False
    teacher: str | None = None
    samples: Samples | None = None
    seconds: float = 0.0


def number_of_samples(num_samples: int | float, num_rows: int) -> int:
    """How many rows of a batch an int, or a float as a share of the batch, asks for; at least 1."""
    return max(1, round(to_absolute(num_samples, num_rows)))
