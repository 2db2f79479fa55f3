"""BSSAttack: the published boundary supporting sample attack."""

from functools import partial
from typing import NamedTuple

import torch
from mmrazor.registry import TASK_UTILS
from torch import Tensor

from ..config.argument_checks import check_int, check_number
from .base import (
    AttackResult,
    BoundaryAttack,
    ForwardPass,
    Model,
    Targets,
    TensorBounds,
    choose,
    clamp,
    per_sample,
    pick,
    squared_norm,
)
from .working_rows import rows_by_kind, select, store, take


class Walk(NamedTuple):
    """What is known of M samples on their way.

    Attributes:
        inputs, reached, logits, targets (Tensor): The result so far, see :class:`AttackResult`.
        rows (Tensor): Places in the batch, (M,) int64.
        active (Tensor): Whether a sample goes on, (M,) bool.
        labels (Tensor): Base classes, (M,) int64.
    """

    inputs: Tensor
    reached: Tensor
    logits: Tensor
    targets: Tensor
    rows: Tensor
    active: Tensor
    labels: Tensor

    @classmethod
    def begin(cls, inputs: Tensor, labels: Tensor, logits: Tensor, targets: Tensor) -> 'Walk':
        """Before the first look, whose logits (M, K) are known."""
        return cls(
            inputs=inputs,
            reached=torch.zeros_like(targets, dtype=torch.bool),
            logits=logits,
            targets=targets,
            rows=torch.arange(len(inputs), device=inputs.device),
            active=targets >= 0,
            labels=labels,
        )

    def after_look(self, logits: Tensor) -> 'Walk':
        """With the model's logits at ``inputs``, (M, K), for the samples that are on their way."""
        classes = logits.argmax(1)
        return self._replace(
            logits=select(self.active, logits, self.logits),
            reached=torch.where(self.active, classes == self.targets, self.reached),
            active=self.active & (classes == self.labels),
        )


@TASK_UTILS.register_module()
class BSSAttack(BoundaryAttack):
    """Attack of Heo et al., AAAI 2019 (arXiv 1805.05532), made safe and fast.

    With base class b, target class k and logits f, each step does

    ``x <- x - step_size * (f_b - f_k + eps) * g / ||g||``, g the gradient of ``f_b - f_k``,

    and a sample stops as soon as its argmax leaves b, for whatever class. The arithmetic is that
    of the authors' code. Ours: a zero gradient leaves the sample where it is instead of
    dividing by zero, finished samples may leave the batch, and the bounds are the caller's (their
    code clamps normalised inputs to [-2.5, 2.5]; pass ``bounds=(-2.5, 2.5)`` for that).

    With ``drop_finished``: 2.1 looks and 1.1 gradients a sample on a network trained on Digits, in
    at most 20 calls of the model; host and device synchronise at most 10 times, once a step.
    Without it: 11 looks and 10 gradients of every sample in 11 calls, 6.5 times as much work, and
    no synchronisation. Checks of arguments cost what they cost in :class:`BoundarySearch`. On a GPU
    neither has been measured.

    Samples usually end far beyond the boundary, and not always in the target class:
    see :class:`BoundarySearch` for samples on it.

    Args:
        step_size (float): Step length per unit of logit margin, in input units. Defaults to 0.3.
        eps (float): Added to the margin, in logits, so that a step crosses. Defaults to 1e-4.
        num_steps (int): Most steps per sample, at least 1. Defaults to 10.
        drop_finished (bool): Whether samples leave the batch when they are done, see above.
            Defaults to True.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        step_size: float = 0.3,
        eps: float = 1e-4,
        num_steps: int = 10,
        drop_finished: bool = True,
    ) -> None:
        super().__init__(drop_finished)
        check_number('BSSAttack: step_size', step_size)
        check_number('BSSAttack: eps', eps)
        check_int('BSSAttack: num_steps', num_steps, minimum=1)
        if not (0 < step_size < float('inf') and 0 <= eps < float('inf') and num_steps >= 1):
            raise ValueError(
                'BSSAttack needs step_size > 0, eps >= 0 and num_steps >= 1, but got '
                f'step_size={step_size}, eps={eps}, num_steps={num_steps}'
            )
        self.step_size = step_size
        self.eps = eps
        self.num_steps = num_steps

    def search(
        self,
        model: Model,
        inputs: Tensor,
        labels: Tensor,
        targets: Targets,
        bounds: TensorBounds | None,
    ) -> AttackResult:
        """See :meth:`BoundaryAttack.__call__`."""
        here = ForwardPass(model, inputs, differentiable=True)
        walk = Walk.begin(inputs, labels, here.logits, choose(targets, here.logits))
        found = AttackResult(*(value.clone() for value in walk[:4]))
        with_gradient = True
        for step in range(self.num_steps):
            if step:
                here = ForwardPass(model, walk.inputs, with_gradient)
            walk = walk.after_look(here.logits)
            if with_gradient:
                walk = self.move(walk, here, bounds)
            if not self.drop_finished:
                continue
            finished, going = rows_by_kind(walk.active.long(), 2)
            store(take(walk, finished), found)
            walk = take(walk, going)
            if not len(going):
                break
            if not with_gradient:
                again = ForwardPass(model, walk.inputs, differentiable=True)
                walk = self.move(walk, again, bounds)
            # The first step takes most samples out of their base class; then the last look tells.
            with_gradient = step > 0 and len(going) > len(finished)
        else:
            walk = walk.after_look(ForwardPass(model, walk.inputs, differentiable=False).logits)
        store(walk, found)
        return found

    def move(self, walk: Walk, here: ForwardPass, bounds: TensorBounds | None) -> Walk:
        """A step of those who are on their way; who has no gradient to follow, ends."""
        margin = partial(base_margin, labels=walk.labels, targets=walk.targets.clamp_min(0))
        gradient = here.gradient(margin, walk.active)
        norm = squared_norm(gradient).sqrt()
        length = self.step_size * (margin(here.logits).float() + self.eps)
        # Without a gradient, or with an infinite one, there is no direction to go.
        leads = (norm > 0) & torch.isfinite(length / norm) & torch.isfinite(norm)
        active = walk.active & leads
        ahead = clamp(walk.inputs - per_sample(length / norm, gradient) * gradient, bounds)
        return walk._replace(inputs=select(active, ahead, walk.inputs), active=active)


def base_margin(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Logit of the base class minus the target's, (N,)."""
    return pick(logits, labels) - pick(logits, targets)
