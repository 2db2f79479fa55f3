"""BoundarySearch: samples that land on the decision boundary."""

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
class BoundarySearch(BoundaryAttack):
    """Finds samples just inside the target class, with a small perturbation (ours).

    The margin of a sample is the best other logit minus the target's: positive outside the target
    class. Taking the best other class instead of the base class steers a sample back that has
    strayed into a third class. Each sample goes its own way:

    1. Two Newton steps on the margin, with overshoot: DeepFool's (Moosavi-Dezfooli et al., CVPR
       2016) for a given target.
    2. While it is outside, the secant through its last two points, with overshoot; another Newton
       step where the secant leads far.
    3. Once it is inside, regula falsi between the last points on either side, until the two
       probabilities are within ``tolerance``.

    Only Newton steps need a gradient.
    All samples share the model's calls, whatever their phase, and leave when they are done.

    Args:
        tolerance (float): A sample is done when the target's probability exceeds that of the
            best other class by no more than this; in (0, 1). Defaults to 0.07. About half of the
            samples come much closer, because regula falsi aims at an eighth of it.
        overshoot (float): How far beyond the linear estimate of the boundary a Newton step aims,
            as a share of the step. Larger crosses earlier, with larger perturbations.
            Defaults to 0.2.
        max_steps (int): Most points at which the model is asked about a sample, at least 1.
            Defaults to 8.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, tolerance: float = 0.07, overshoot: float = 0.2, max_steps: int = 8) -> None:
        check_number('BoundarySearch: tolerance', tolerance)
        check_number('BoundarySearch: overshoot', overshoot)
        check_int('BoundarySearch: max_steps', max_steps, minimum=1)
        if not (0 < tolerance < 1 and 0 <= overshoot < float('inf') and max_steps >= 1):
            raise ValueError(
                'BoundarySearch needs 0 < tolerance < 1, overshoot >= 0 and max_steps >= 1, but '
                f'got tolerance={tolerance}, overshoot={overshoot}, max_steps={max_steps}'
            )
        self.tolerance = tolerance
        self.overshoot = overshoot
        self.max_steps = max_steps

    def search(
        self,
        model: Model,
        inputs: Tensor,
        labels: Tensor,
        targets: Targets,
        bounds: Bounds | None,
    ) -> AttackResult:
        """See :meth:`BoundaryAttack.__call__`."""
        moved, outer = inputs.clone(), inputs.clone()
        moved_margins, outer_margins = inputs.new_zeros(2, len(inputs), dtype=torch.float32)
        reached = torch.zeros(len(inputs), dtype=torch.bool, device=inputs.device)
        active, points = torch.arange(len(inputs), device=inputs.device), moved.clone()
        many_are_steep = True
        for step in range(self.max_steps):
            here = Evaluation(model, points, differentiable=many_are_steep)
            if step == 0:
                targets = choose(targets, here.logits)
                goals, logits = targets.clamp_min(0), here.logits.clone()
            goal = goals[active]
            margins = target_margin(here.logits, goal)
            inside = (here.logits.argmax(1) == goal) & (targets[active] >= 0)

            # Of a sample still outside keep the last two points, of another the last on either
            # side; `moved` is the one to return.
            stays, before = reached[active] & ~inside, active[~reached[active]]
            outer[before], outer_margins[before] = moved[before], moved_margins[before]
            outer[active[stays]], outer_margins[active[stays]] = points[stays], margins[stays]
            goes = active[~stays]
            moved[goes], moved_margins[goes] = points[~stays], margins[~stays]
            logits[goes] = here.logits[~stays]
            reached[active] |= inside

            # A sample that begins inside has no point outside to search between.
            close = (target_lead(here.logits, goal) <= self.tolerance) | (step == 0)
            going = ~(inside & close) & (targets[active] >= 0)
            if step + 1 == self.max_steps or not going.any():
                break
            following = torch.empty_like(points)
            shares, near = self.secant(outer_margins[active], moved_margins[active])
            straight = going & (reached[active] | (near & (step >= 2)))
            rows = active[straight]
            way = per_sample(shares[straight], points) * (moved[rows] - outer[rows])
            following[straight] = clamp(outer[rows] + way, bounds)
            steep = going & ~straight
            # Most samples need the gradient of the first two points; then the last look tells.
            many_are_steep = step == 0 or (step > 1 and bool(steep.float().mean() > 0.5))
            if steep.any():
                gradient = here.gradient(partial(target_margin, targets=goal[steep]), steep)
                following[steep], leads = self.newton_step(
                    points[steep], gradient, margins[steep], bounds
                )
                going[steep] &= leads
            active, points = active[going], following[going]
            if not len(active):
                break
        return AttackResult(moved, reached, logits, targets)

    def newton_step(
        self, points: Tensor, gradient: Tensor, margins: Tensor, bounds: Bounds | None
    ) -> tuple[Tensor, Tensor]:
        """Newton's step to the aim beyond the boundary.

        Returns:
            tuple: The new points, and of each whether its gradient leads anywhere, (N,) bool.
        """
        # What a bound holds back would be missing from the step.
        gradient = gradient.masked_fill(clamp(points - gradient.sign(), bounds) == points, 0)
        # The tolerance lets the step cross where the margin is tiny.
        aim = (1 + self.overshoot) * margins + self.tolerance
        norm = squared_norm(gradient)
        lengths = aim / norm
        leads = torch.isfinite(lengths) & torch.isfinite(norm)
        return clamp(points - per_sample(lengths, points) * gradient, bounds), leads

    def secant(self, outer_margins: Tensor, moved_margins: Tensor) -> tuple[Tensor, Tensor]:
        """Where a straight line through two margins reaches the aim.

        Returns:
            tuple: Position on the way from ``outer`` (0) to ``moved`` (1), (N,), and of each
            beyond ``moved`` whether it is near enough to be trusted, (N,) bool.
        """
        inside = moved_margins < 0
        aims = torch.where(
            inside, self.tolerance / 8, self.overshoot * moved_margins + self.tolerance
        )
        shares = (outer_margins + aims) / (outer_margins - moved_margins)
        # Both ends must move on, or a bent margin would let one of them stand still.
        between = shares.clamp(0.05, 0.95)
        return torch.where(inside, between, shares), (shares > 1) & (shares <= 2)


def target_margin(logits: Tensor, targets: Tensor) -> Tensor:
    """Best other logit minus the target's, float32: negative inside the target class."""
    logits = logits.float()
    others = logits.scatter(1, targets[:, None], -float('inf')).amax(1)
    return others - pick(logits, targets)


def target_lead(logits: Tensor, targets: Tensor) -> Tensor:
    """The target's probability minus that of the best other class, float32."""
    probabilities = logits.float().softmax(1)
    return -target_margin(probabilities, targets)
