"""LossWeightScheduleHook: weights of distillation losses that change over the training."""

import math
import warnings
from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmrazor.registry import HOOKS

from ..config.argument_checks import check_bool, check_kind, check_number
from ..config.int_or_fraction import IntOrFraction, check_int_or_fraction, to_absolute
from .training_progress import check_unit, progress_and_total

POLICIES = ('constant', 'linear', 'cosine', 'step')


@HOOKS.register_module()
class LossWeightScheduleHook(Hook):
    """Sets ``loss_weight`` of one distillation loss, for every epoch or every iteration (ours).

    Works with every MMRazor loss that has a ``loss_weight``, and with other numbers that a loss
    has as attributes. The weight is a function of the epoch or the iteration alone, so a resumed
    run continues where it stopped. It is logged as ``weight/<loss>``, another number as
    ``<attribute>/<loss>``.

    Args:
        loss (str): Key of the loss in ``model.distiller.distill_losses``.
        policy (str): How the weight goes from ``start`` to ``stop`` between ``begin`` and
            ``end``: ``'constant'`` stays at ``start``, ``'linear'``, ``'cosine'`` (half a
            period), or ``'step'`` multiplies ``start`` by ``gamma`` at each milestone, whatever
            ``begin``. Before ``begin`` the weight is ``start``; from ``end`` on it is ``stop``.
        start (float): First weight.
        stop (float, optional): Last weight. Required by ``'linear'`` and ``'cosine'``; the
            others keep their weight after ``end`` when it is None. Defaults to None.
        begin (int | float): Epoch at which the change begins; a float is a share of the
            training, so that a shorter run keeps the proportions. Defaults to 0.
        end (int | float): Epoch from which the weight is ``stop``; a float is a share. Defaults
            to 1.0, the end of the training.
        milestones (Sequence[int | float], optional): Epochs, or shares, of ``'step'``.
        gamma (float): Factor of ``'step'``. Defaults to 0.1.
        by_epoch (bool): Whether the weight changes from epoch to epoch, and ints count epochs; or
            from iteration to iteration. A training by iterations, in which shares mean the same,
            changes it from iteration to iteration. Defaults to True.
        attribute (str): The number of the loss that is set, such as ``'reversal'`` of ``CTKDLoss``
            or ``'tau'`` of ``KLDivergence``. Defaults to ``'loss_weight'``.

    Raises:
        ValueError: If a policy is unknown or lacks an argument, if the model has no such loss or
            the loss has no such number, if another hook has a schedule for it, or if ints count
            epochs of a training by iterations.

    Examples:
        The weights of BSS (Heo et al., AAAI 2019), 4 to 1 on clean samples and 2 to 0 at three
        quarters of the training on boundary samples. BSS's loss has no factor tau^2; for
        ``KLDivergence``, which has it, divide them by tau^2 as ``configs/bss`` does:

        >>> default_hooks = dict(
        ...     kl_weight=dict(type='mmrazor.LossWeightScheduleHook', loss='loss_kl',
        ...                    policy='linear', start=4., stop=1.),
        ...     boundary_weight=dict(type='mmrazor.LossWeightScheduleHook', loss='loss_boundary',
        ...                          policy='linear', start=2., stop=0., end=0.75))
    """

    def __init__(
        self,
        loss: str,
        policy: str,
        start: float,
        stop: float | None = None,
        begin: IntOrFraction = 0,
        end: IntOrFraction = 1.0,
        milestones: Sequence[IntOrFraction] | None = None,
        gamma: float = 0.1,
        by_epoch: bool = True,
        attribute: str = 'loss_weight',
    ) -> None:
        check_kind('LossWeightScheduleHook: loss', loss, str, "'loss_kl'")
        check_kind('LossWeightScheduleHook: attribute', attribute, str, "'loss_weight'")
        check_bool('LossWeightScheduleHook: by_epoch', by_epoch)
        for name, value in dict(start=start, stop=stop, gamma=gamma).items():
            if value is not None or name != 'stop':
                check_number(f'LossWeightScheduleHook: {name}', value, minimum=0)
        if policy not in POLICIES:
            raise ValueError(f'policy must be one of {POLICIES}, not {policy!r}')
        if policy in ('linear', 'cosine') and stop is None:
            raise ValueError(f'policy={policy!r} needs `stop`, the last weight')
        if (policy == 'step') != bool(milestones):
            raise ValueError("`milestones` belongs to policy='step', which needs it")
        self.loss = loss
        self.policy = policy
        self.start = start
        self.stop = stop
        self.begin = check_int_or_fraction('begin', begin)
        self.end = check_int_or_fraction('end', end)
        if type(begin) is type(end) and begin > end:
            raise ValueError(f'LossWeightScheduleHook: begin={begin} is after end={end}')
        self.milestones = [check_int_or_fraction('milestones', m) for m in milestones or ()]
        self.gamma = gamma
        self.by_epoch = by_epoch
        self.attribute = attribute

    def weight(self, now: int, total: int) -> float:
        """Weight during an epoch or iteration, counted from 0, of so many."""
        begin, end = to_absolute(self.begin, total), to_absolute(self.end, total)
        if now >= end and self.stop is not None:
            return self.stop
        if self.policy == 'step':
            passed = sum(now >= to_absolute(m, total) for m in self.milestones)
            return self.start * self.gamma**passed
        if self.policy == 'constant' or now <= begin:
            return self.start
        share = min((now - begin) / (end - begin), 1.0)
        if self.policy == 'cosine':
            share = (1 - math.cos(math.pi * share)) / 2
        return self.start + (self.stop - self.start) * share

    def before_train(self, runner) -> None:
        """Find the loss."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        losses = getattr(getattr(model, 'distiller', None), 'distill_losses', {})
        names = [
            name
            for name, module in losses.items()
            if isinstance(getattr(module, self.attribute, None), (int, float))
        ]
        if self.loss not in names:
            raise ValueError(
                f'LossWeightScheduleHook: loss={self.loss!r} is not in '
                f'`model.distiller.distill_losses`, or has no `{self.attribute}`; '
                f'losses that can be scheduled: {names}'
            )
        self._module = losses[self.loss]
        check_unit(
            f'LossWeightScheduleHook of {self.loss!r}',
            runner,
            self.by_epoch,
            begin=self.begin,
            end=self.end,
            **{f'milestones[{index}]': moment for index, moment in enumerate(self.milestones)},
        )
        self._check_effect(runner)
        if self.attribute == 'loss_weight':
            self._module.has_weight_schedule = True

    def _check_effect(self, runner) -> None:
        """Refuse a second schedule of the same loss, and warn of a weight that stays 0."""
        hooks = [hook for hook in runner.hooks if isinstance(hook, LossWeightScheduleHook)]
        same = [(hook.loss, hook.attribute) for hook in hooks].count((self.loss, self.attribute))
        if same > 1:
            raise ValueError(
                f'LossWeightScheduleHook: there are several for loss={self.loss!r} and its '
                f'`{self.attribute}`, of which only the last would have an effect: leave one in '
                '`default_hooks` and `custom_hooks`'
            )
        _, total = progress_and_total(runner, self.by_epoch)
        is_zero = total and not any(self.weight(now, total) for now in range(total))
        if is_zero and self.attribute == 'loss_weight':
            warnings.warn(
                f'LossWeightScheduleHook: the weight of {self.loss!r} is 0 throughout, so that the '
                'loss has no effect: give other weights, or remove the loss',
                stacklevel=2,
            )

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Set the weight and log it."""
        value = self.weight(*progress_and_total(runner, self.by_epoch))
        setattr(self._module, self.attribute, value)
        name = 'weight' if self.attribute == 'loss_weight' else self.attribute
        runner.message_hub.update_scalar(f'train/{name}/{self.loss}', value)
