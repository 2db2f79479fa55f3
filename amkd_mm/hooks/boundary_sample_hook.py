"""BoundarySampleHook: lets AMKD distil on boundary samples of the teacher."""

from mmrazor.registry import HOOKS

from ..attacks import build_attack
from ..attacks.targets import TARGET_CHOOSERS
from ..config.argument_checks import check_bool, check_choice
from ..samplers import BoundarySampler
from .sample_hook import SampleHook, check_num_samples

BASES = ('random', 'discrepancy')


@HOOKS.register_module()
class BoundarySampleHook(SampleHook):
    """Lets ``AMKD`` distil on boundary samples of the teacher beside the clean batch.

    Base samples are chosen among the images of the batch and moved across the teacher's decision
    boundary, by a :class:`~amkd_mm.samplers.BoundarySampler`. They keep the base sample's label.

    Each step logs under ``boundary/``: ``attacked`` (how many), ``samples`` (how many of them are
    distilled on), ``share`` (these as a share of the batch), ``reached`` (share of the attacked
    that reached their target class), of the samples ``probability_gap`` (mean of the teacher's
    ``|p_base - p_target|``) and ``l2`` (mean L2 norm of the perturbation, in normalised input
    units), and ``seconds``.

    Args:
        attack (dict): Config of a boundary attack in ``mmrazor.registry.TASK_UTILS``, such as
            ``dict(type='BoundarySearch')`` or ``dict(type='BSSAttack')``.
        num_samples (int | float): Most boundary samples per batch and process; a float is a
            share of the batch. Defaults to 0.25, which are BSS's 64 of 256.
        base (str): Which samples are moved, of those that the teacher classifies correctly.
            ``'random'``: any; those that it does not are drawn, too, and left alone.
            ``'discrepancy'``: those where teacher and student differ most, by the sum over the
            wrong classes of ``(p_t - p_s)^2``, as in BSS. Defaults to ``'random'``.
        target (str): Which boundary. ``'sample'``: with a class drawn from the teacher's
            softmax without the base class, as in BSS; ``'runner_up'``: with the teacher's
            second class; ``'random'``: with any other class. Defaults to ``'sample'``.
        student_correct (bool): Whether the student must classify base samples correctly too,
            as in BSS; what counts is what it says of them in the training step itself. While it
            gets few right, single samples then make up all losses of boundary samples, unless
            ``boundary_reduction='batch'`` of ``AMKD``. Defaults to False.
        keep_unreached (bool): Whether to distil on samples that did not reach their target class,
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
    sampler_class = BoundarySampler

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
        check_choice('BoundarySampleHook: base', base, BASES)
        check_choice('BoundarySampleHook: target', target, tuple(TARGET_CHOOSERS))
        self.sampler = self.sampler_class(
            build_attack(attack),
            num_samples,
            TARGET_CHOOSERS[target],
            base,
            student_correct,
            keep_unreached,
        )
