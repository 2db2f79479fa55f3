"""BSSAttack: the published boundary supporting sample attack."""

from functools import partial

import torch
from mmrazor.registry import TASK_UTILS
from torch import Tensor

from ..argument_checks import check_int, check_number
from .base import (
    AttackResult,
    BoundaryAttack,
    Bounds,
    Evaluation,
    Model,
    Targets,
    choose,
    clamp,
    per_sample,
    pick,
    squared_norm,
)


@TASK_UTILS.register_module()
class BSSAttack(BoundaryAttack):
    """Attack of Heo et al., AAAI 2019 (arXiv 1805.05532), made safe and fast.

    With base class b, target class k and logits f, each step does

    ``x <- x - step_size * (f_b - f_k + eps) * g / ||g||``, g the gradient of ``f_b - f_k``,

    and a sample stops as soon as its argmax leaves b, for whatever class. The arithmetic is that
    of the authors' code. Ours: a zero gradient leaves the sample where it is instead of
    dividing by zero, finished samples leave the batch, and the bounds are the caller's (their
    code clamps normalised inputs to [-2.5, 2.5]; pass ``bounds=(-2.5, 2.5)`` for that).

    Samples usually end far beyond the boundary, and not always in the target class:
    see :class:`BoundarySearch` for samples on it.

    Args:
        step_size (float): Step length per unit of logit margin, in input units. Defaults to 0.3.
        eps (float): Added to the margin, in logits, so that a step crosses. Defaults to 1e-4.
        num_steps (int): Most steps per sample, at least 1. Defaults to 10.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, step_size: float = 0.3, eps: float = 1e-4, num_steps: int = 10) -> None:
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
        bounds: Bounds | None,
    ) -> AttackResult:
        """See :meth:`BoundaryAttack.__call__`."""
        moved = inputs.clone()
        active = torch.arange(len(inputs), device=inputs.device)
        many_go_on = True
        for step in range(self.num_steps):
            here = Evaluation(model, moved[active], differentiable=many_go_on)
            if step == 0:
                targets = choose(targets, here.logits)
                goals, logits = targets.clamp_min(0), here.logits.clone()
            logits[active] = here.logits

            going = (here.logits.argmax(1) == labels[active]) & (targets[active] >= 0)
            # The first step takes most samples out of their base class; then the last look tells.
            many_go_on = step > 0 and bool(going.float().mean() > 0.5)
            active = active[going]
            if not len(active):
                break
            margin = partial(base_margin, labels=labels[active], targets=goals[active])
            gradient = here.gradient(margin, going)
            norm = squared_norm(gradient).sqrt()
            length = self.step_size * (margin(here.logits[going]).float() + self.eps)
            # Without a gradient, or with an infinite one, there is no direction to go.
            leads = (norm > 0) & torch.isfinite(length / norm) & torch.isfinite(norm)
            active = active[leads]
            if not len(active):
                break
            steps = per_sample((length / norm)[leads], inputs) * gradient[leads]
            moved[active] = clamp(moved[active] - steps, bounds)
        else:
            with torch.no_grad():
                logits[active] = model(moved[active])
        return AttackResult(moved, logits.argmax(1) == targets, logits, targets)


def base_margin(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Logit of the base class minus the target's, (N,)."""
    return pick(logits, labels) - pick(logits, targets)
