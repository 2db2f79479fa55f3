"""BoundarySampleHook: lets AMKD distil on boundary samples of the teacher."""

from mmrazor.registry import HOOKS

from ..attacks import build_attack
from ..attacks.targets import TARGET_CHOOSERS
from ..config.argument_checks import check_bool, check_choice, check_int
from ..samplers import BoundarySampler, ReusingSampler
from .sample_hook import SampleHook, check_num_samples

BASES = ('random', 'discrepancy')
# In checkpoints: of each such hook, by its place among the hooks that make samples.
MEMORIES = 'sample_memories'


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
        reuse (int): In how many steps a boundary sample is used, on average. With more than 1 only
            one of so many steps makes new samples, and all draw theirs from a memory of ``reuse *
            num_samples``, which takes 24 KB a sample at 32 px, 1.2 MB at 224 px. The memory is
            part of checkpoints, so that a resumed training equals an uninterrupted one; of several
            processes each has its own, and all resume with that of the first. ``attacked``,
            ``reached``, ``probability_gap`` and ``l2`` in the log are those of the last new
            samples. Defaults to 1.
        teacher (str, optional): Of a ``TeacherEnsemble``, the member whose boundary it is. Defaults
            to None, the boundary of the mean of all members.
        **kwargs: ``begin``, ``end``, ``interval``, ``by_epoch`` and ``amp`` of ``SampleHook``. With
            ``amp=True`` boundary samples are no closer to the boundary than half precision can
            tell.

    Raises:
        KeyError: If there is no such attack.
        ValueError: If an argument is out of its range, ``reuse`` is more than 1 and the teacher is
            trained, or as ``SampleHook``.
        TypeError: As ``SampleHook``.
    """

    prefix = 'boundary'
    sampler_class = BoundarySampler
    maker: BoundarySampler
    """Makes new samples; the ``sampler`` may take them from its memory."""

    def __init__(
        self,
        attack: dict,
        num_samples: int | float = 0.25,
        base: str = 'random',
        target: str = 'sample',
        student_correct: bool = False,
        keep_unreached: bool = False,
        reuse: int = 1,
        teacher: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.teacher = teacher
        check_num_samples(self.name, num_samples)
        check_bool('BoundarySampleHook: student_correct', student_correct)
        check_bool('BoundarySampleHook: keep_unreached', keep_unreached)
        check_choice('BoundarySampleHook: base', base, BASES)
        check_choice('BoundarySampleHook: target', target, tuple(TARGET_CHOOSERS))
        check_int('BoundarySampleHook: reuse', reuse, minimum=1)
        self.maker = self.sampler_class(
            build_attack(attack),
            num_samples,
            TARGET_CHOOSERS[target],
            base,
            student_correct,
            keep_unreached,
        )
        self.sampler, self._memory = self.maker, None
        if reuse > 1:
            self.sampler = self._memory = ReusingSampler(self.maker, num_samples, reuse)

    def before_train(self, runner) -> None:
        """See ``SampleHook``."""
        super().before_train(runner)
        if self._memory is not None and self.algorithm.teacher_trainable:
            raise ValueError(
                'BoundarySampleHook: reuse must be 1 with `model.teacher_trainable=True`, because '
                'the boundary of a teacher that is trained moves'
            )

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the memory of samples."""
        if self._memory is not None:
            memories = checkpoint.setdefault(MEMORIES, {})
            memories[self.place(runner)] = self._memory.state_dict()

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take the memory of samples of a training that is resumed."""
        state = checkpoint.get(MEMORIES, {}).get(self.place(runner))
        # `load_from` begins a training anew.
        if self._memory is not None and state is not None and runner._resume:
            self._memory.load_state_dict(state)
