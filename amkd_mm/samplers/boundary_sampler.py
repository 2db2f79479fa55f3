"""BoundarySampler: images moved to the teacher's decision boundary."""

import torch
from torch import Tensor

from ..attacks import BoundaryAttack
from ..attacks.targets import TargetChooser
from .base import CleanBatch, Sampler, Samples, number_of_samples


class BoundarySampler(Sampler):
    """Chooses base samples of a batch and moves them across the teacher's decision boundary.

    ``statistics`` are ``attacked`` (how many), ``reached`` (share of them that reached their target
    class), and of the samples ``probability_gap`` (mean of the teacher's ``|p_base - p_target|``)
    and ``l2`` (mean L2 norm of the perturbation, in normalised input units).

    Args:
        attack (BoundaryAttack): What moves them.
        num_samples (int | float): Most base samples of a batch; a float is a share of the batch.
        choose_targets (Callable): Maps the teacher's logits (M, K), labels (M,) and a generator to
            target classes (M,).
        base (str): ``'random'``, or ``'discrepancy'`` for the rows where teacher and student differ
            most.
        student_correct (bool): Whether the student must classify base samples correctly.
        keep_unreached (bool): Whether to give samples that did not reach their target class, too.
    """

    def __init__(
        self,
        attack: BoundaryAttack,
        num_samples: int | float,
        choose_targets: TargetChooser,
        base: str = 'random',
        student_correct: bool = False,
        keep_unreached: bool = False,
    ) -> None:
        self.attack = attack
        self.num_samples = num_samples
        self.choose_targets = choose_targets
        self.base = base
        self.student_correct = student_correct
        self.keep_unreached = keep_unreached
        self.needs_student = student_correct or base == 'discrepancy'

    def __call__(self, batch: CleanBatch, generator: torch.Generator) -> Samples:
        """See :class:`Sampler`."""
        rows, targets = self.choose_bases(batch, generator)
        return self.move(batch, rows, targets)

    def choose_bases(self, batch: CleanBatch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows to attack, (M,), and their target classes, (M,); -1 where the teacher is wrong."""
        labels, teacher_logits = batch.labels, batch.teacher_logits
        most = number_of_samples(self.num_samples, len(labels))
        if self.base == 'discrepancy':
            suitable = teacher_logits.argmax(1) == labels
            if self.student_correct:
                suitable &= batch.of_student().argmax(1) == labels
            scores = discrepancy(teacher_logits, batch.of_student(), labels)
            order = scores.argsort(descending=True)
            rows = order[suitable[order]][:most]
        else:
            rows = torch.randperm(len(labels), generator=generator).to(labels.device)
            if self.student_correct:
                rows = rows[batch.of_student().argmax(1)[rows] == labels[rows]]
            rows = rows[:most]
        logits = teacher_logits[rows]
        targets = self.choose_targets(logits, labels[rows], generator)
        return rows, targets.masked_fill(logits.argmax(1) != labels[rows], -1)

    def move(self, batch: CleanBatch, rows: Tensor, targets: Tensor) -> Samples:
        """Attack some rows (M,) towards their targets (M,); those below 0 are left alone."""
        bases, labels = batch.inputs[rows], batch.labels[rows]
        # Of a function the attack takes them as they are, without a look at their values.
        moved = self.attack(
            batch.teacher, bases, labels, lambda _: targets, batch.normalizer.bounds
        )
        attacked = moved.targets >= 0
        kept = (attacked & (moved.reached | self.keep_unreached)).nonzero().squeeze(1)
        logits = moved.logits[kept]
        samples = Samples(
            moved.inputs[kept],
            bases[kept],
            rows[kept],
            labels[kept],
            moved.targets[kept],
            logits,
            {},
        )
        probabilities = logits.float().softmax(1)
        base, target = (
            probabilities.gather(1, classes[:, None]).squeeze(1)
            for classes in (samples.labels, samples.targets)
        )
        samples.statistics.update(
            attacked=attacked.sum(),
            reached=(attacked & moved.reached).sum() / attacked.sum(),
            probability_gap=(base - target).abs().mean(),
            l2=(samples.inputs - samples.origins).flatten(1).norm(dim=1).mean(),
        )
        return samples


def discrepancy(teacher_logits: Tensor, student_logits: Tensor, labels: Tensor) -> Tensor:
    """How much two networks differ on the wrong classes: BSS's base sample score.

    Args:
        teacher_logits (Tensor): (N, K).
        student_logits (Tensor): (N, K).
        labels (Tensor): (N,), int64.

    Returns:
        Tensor: Sum over all classes but the label of the squared difference of the
        probabilities, (N,).
    """
    differences = (teacher_logits.softmax(1) - student_logits.softmax(1)).square()
    return differences.scatter(1, labels[:, None], 0).sum(1)
