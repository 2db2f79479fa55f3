"""AdversarialSampler: images moved to where the student leaves the teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..attacks.pgd import pgd
from .base import CleanBatch, Sampler, Samples

# Standard deviation of the noise to start from, in units of the range of pixels, as published.
START_NOISE = 0.001


class AdversarialSampler(Sampler):
    """Moves all images of a batch to where the student's answer is far from the teacher's.

    See :class:`~amkd_mm.hooks.AdversarialSampleHook` for the methods and the arguments. The samples
    are in the batch's order. ``statistics`` are ``divergence``, the mean of what was maximised, and
    ``correct``, the share of the samples that the student still classifies correctly.
    """

    def __init__(
        self, teacher_answers: str, radius: float, step_size: float, num_steps: int
    ) -> None:
        self.teacher_answers = teacher_answers
        self.radius = radius
        self.step_size = step_size
        self.num_steps = num_steps

    def __call__(self, batch: CleanBatch, generator: torch.Generator) -> Samples:
        """See :class:`Sampler`."""
        normalizer = batch.normalizer
        is_adaptive = self.teacher_answers == 'adversarial'

        def teacher(points: Tensor) -> Tensor:
            return batch.teacher(points) if is_adaptive else batch.teacher_logits

        # On the CPU, so that a run does not depend on the device.
        noise = torch.randn(batch.inputs.shape, generator=generator).to(batch.inputs)
        moved = pgd(
            lambda points: divergences(batch.student(points), teacher(points)),
            batch.inputs,
            batch.inputs + noise * normalizer.length(START_NOISE),
            normalizer.length(self.radius),
            normalizer.length(self.step_size),
            self.num_steps,
            normalizer.bounds,
        )
        with torch.no_grad():
            student_logits, teacher_logits = batch.student(moved), teacher(moved)
        statistics = dict(
            divergence=divergences(student_logits, teacher_logits).mean(),
            correct=(student_logits.argmax(1) == batch.labels).float().mean(),
        )
        rows = torch.arange(len(moved), device=moved.device)
        return Samples(
            moved,
            batch.inputs,
            rows,
            batch.labels,
            torch.full_like(rows, -1),
            teacher_logits if is_adaptive else None,
            statistics,
        )


def divergences(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """KL divergence of the student's answers from the teacher's, (N, K) both, to (N,).

    By logarithms alone: a teacher's probability may be 0, and a gradient passes through it, too.
    """
    student, teacher = (
        logits.float().log_softmax(1) for logits in (student_logits, teacher_logits)
    )
    return F.kl_div(student, teacher, reduction='none', log_target=True).sum(1)
