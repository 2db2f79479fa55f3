"""BoundarySampleHook: appends boundary samples of the teacher to the training batch."""

from collections.abc import Callable

import torch
from mmrazor.registry import HOOKS
from torch import Tensor

from ..argument_checks import check_bool
from ..attacks import AttackResult, build_attack
from ..pixel_space import PixelSpace
from .sample_hook import SampleHook, Samples, check_num_samples
from .training_span import resolve


def sample_target(logits: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from the teacher's softmax without the base class, as BSS does."""
    others = logits.float().scatter(1, labels[:, None], -float('inf')).softmax(1).cumsum(1)
    # Drawn on the CPU, so that a run does not depend on the device.
    draws = torch.rand(len(logits), 1, generator=generator).to(others)
    # The first class whose cumulative probability exceeds the draw; the base class adds none.
    return (others <= draws * others[:, -1:]).sum(1)


def runner_up_target(
    logits: Tensor, labels: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """The teacher's best class besides the base class."""
    return logits.scatter(1, labels[:, None], -float('inf')).argmax(1)


def random_target(logits: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Any class besides the base class, all equally likely."""
    steps = torch.randint(1, logits.size(1), (len(logits),), generator=generator)
    return (labels + steps.to(labels)) % logits.size(1)


TARGETS: dict[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]] = dict(
    sample=sample_target, runner_up=runner_up_target, random=random_target
)
BASES = ('random', 'discrepancy')


@HOOKS.register_module()
class BoundarySampleHook(SampleHook):
    """Appends boundary samples of the teacher to the batch before a training step.

    Base samples are chosen among the images of the batch and moved across the teacher's decision
    boundary. They keep the base sample's label. How they are appended is
    :class:`~amkd_mm.hooks.sample_hook.SampleHook`'s.

    Each step logs under ``boundary/``: ``attacked`` (how many), ``samples`` (how many of them were
    appended), ``share`` (these as a share of the batch), ``reached`` (share of the attacked that
    reached their target class), ``gap`` (mean ``|p_base - p_target|`` of the teacher) and ``l2``
    (mean L2 norm of the perturbation, in normalised input units) of the appended, and ``seconds``.

    Args:
        attack (dict): Config of a boundary attack in ``mmrazor.registry.TASK_UTILS``, such as
            ``dict(type='BoundarySearch')`` or ``dict(type='BSSAttack')``.
        num_samples (int | float): Most boundary samples per batch and process; a float is a
            share of the batch. Defaults to 0.25, which are BSS's 64 of 256.
        base (str): Which samples are moved. ``'random'``: any, which is cheap, because the
            teacher is only asked about those that are attacked. ``'discrepancy'``: those where
            teacher and student differ most, by the sum over the wrong classes of
            ``(p_t - p_s)^2``, as in BSS. The teacher classifies all of them correctly.
            Defaults to ``'random'``.
        target (str): Which boundary. ``'sample'``: with a class drawn from the teacher's
            softmax without the base class, as in BSS; ``'runner_up'``: with the teacher's
            second class; ``'random'``: with any other class. Defaults to ``'sample'``.
        student_correct (bool): Whether the student must classify base samples correctly too,
            as in BSS. (BSS asks the student in training mode.) While it gets few right, single
            samples then make up all losses of boundary samples. Defaults to False.
        keep_unreached (bool): Whether to append samples that did not reach their target class,
            as BSS does. Defaults to False.
        **kwargs: ``begin``, ``end``, ``interval``, ``by_epoch`` and ``amp`` of ``SampleHook``. With
            ``amp=True`` boundary samples are no closer to the boundary than half precision can
            tell.

    Raises:
        KeyError: If there is no such attack.
        ValueError: If an argument is out of its range, or as ``SampleHook``.
        TypeError: As ``SampleHook``.
    """

    prefix = 'boundary'

    def __init__(
        self,
        attack: dict,
        num_samples: int | float = 0.25,
        base: str = 'random',
        target: str = 'sample',
        student_correct: bool = False,
        keep_unreached: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_num_samples(self.name, num_samples)
        check_bool('BoundarySampleHook: student_correct', student_correct)
        check_bool('BoundarySampleHook: keep_unreached', keep_unreached)
        if base not in BASES:
            raise ValueError(f'BoundarySampleHook: base must be one of {BASES}, not {base!r}')
        if target not in TARGETS:
            raise ValueError(
                f'BoundarySampleHook: target must be one of {tuple(TARGETS)}, not {target!r}'
            )
        self.attack = build_attack(attack)
        self.num_samples = num_samples
        self.base = base
        self.target = TARGETS[target]
        self.student_correct = student_correct
        self.keep_unreached = keep_unreached

    def make(
        self,
        space: PixelSpace,
        pixels: Tensor,
        inputs: Tensor,
        labels: Tensor,
        generator: torch.Generator,
    ) -> Samples:
        """See :class:`SampleHook`."""
        rows, result = self.find(space, inputs, labels, generator)
        kept = (result.targets >= 0) & (result.reached | self.keep_unreached)
        return Samples(
            space.to_pixels(result.inputs[kept]),
            rows[kept].tolist(),
            result.targets[kept].tolist(),
            self.statistics(inputs[rows], labels[rows], result, kept),
        )

    def find(
        self, space: PixelSpace, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, AttackResult]:
        """Choose base samples and attack them.

        Args:
            space (PixelSpace): Gives padding and bounds.
            inputs (Tensor): The batch's normalised inputs, (N, C, H, W).
            labels (Tensor): Labels, (N,).
            generator (torch.Generator): Source of all choices.

        Returns:
            tuple: Indices of the attacked rows, (M,), and the attack's result on them. Its
            ``targets`` are negative where the teacher misclassifies the row.
        """

        rows = self.choose_bases(space, inputs, labels, generator)

        def choose_targets(logits: Tensor) -> Tensor:
            return self.target(logits, labels[rows], generator)

        return rows, self.move(space, inputs[rows], labels[rows], choose_targets)

    def move(
        self,
        space: PixelSpace,
        inputs: Tensor,
        labels: Tensor,
        choose_targets: Callable[[Tensor], Tensor],
    ) -> AttackResult:
        """Attack base samples that the teacher classifies correctly; leave the others alone.

        Args:
            space (PixelSpace): Gives padding and bounds.
            inputs (Tensor): Base samples, (M, C, H, W).
            labels (Tensor): Their labels, (M,).
            choose_targets (Callable): Maps the teacher's logits, (M, K), to target classes, (M,).
        """

        def choose(logits: Tensor) -> Tensor:
            return choose_targets(logits).masked_fill(logits.argmax(1) != labels, -1)

        def ask_teacher(images: Tensor) -> Tensor:
            return self.ask_teacher(space.pad(images))

        return self.attack(ask_teacher, inputs, labels, choose, space.bounds)

    @torch.no_grad()
    def choose_bases(
        self, space: PixelSpace, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Indices of the rows to attack, (M,); arguments are those of :meth:`find`."""
        most = max(1, round(resolve(self.num_samples, len(labels))))
        padded = space.pad(inputs)
        if self.base == 'discrepancy':
            teacher_logits, student_logits = self.ask_teacher(padded), self.ask_student(padded)
            suitable = teacher_logits.argmax(1) == labels
            if self.student_correct:
                suitable &= student_logits.argmax(1) == labels
            scores = discrepancy(teacher_logits, student_logits, labels)
            order = scores.argsort(descending=True)
            return order[suitable[order]][:most]

        order = torch.randperm(len(labels), generator=generator).to(labels.device)
        if not self.student_correct:
            return order[:most]
        found = order[:0]
        # A student that gets half of the images right is asked about no more than it takes.
        for piece in order.split(2 * most):
            correct = self.ask_student(padded[piece]).argmax(1) == labels[piece]
            found = torch.cat([found, piece[correct]])
            if len(found) >= most:
                break
        return found[:most]

    @staticmethod
    def statistics(
        starts: Tensor, labels: Tensor, result: AttackResult, kept: Tensor
    ) -> dict[str, float]:
        """What to log; the values of no sample are left out."""
        attacked = result.targets >= 0
        scalars: dict[str, float] = dict(attacked=int(attacked.sum()))
        if attacked.any():
            scalars['reached'] = result.reached[attacked].float().mean().item()
        if kept.any():
            probabilities = result.logits[kept].float().softmax(1)
            base = probabilities.gather(1, labels[kept, None])
            target = probabilities.gather(1, result.targets[kept, None])
            perturbation = (result.inputs - starts)[kept].flatten(1)
            scalars['gap'] = (base - target).abs().mean().item()
            scalars['l2'] = perturbation.norm(dim=1).mean().item()
        return scalars


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
