"""BoundarySearch: samples that land on the decision boundary."""

from functools import partial

import torch
from mmrazor.registry import TASK_UTILS
from torch import Tensor

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

    Each sample goes its own way through at most two phases:

    1. Newton steps with overshoot on the margin of the target class, the best other logit minus
       the target's, until the target class wins. Taking the best other class instead of the
       base class steers a sample back that has strayed into a third class. The step is that of
       DeepFool (Moosavi-Dezfooli et al., CVPR 2016) for a given target.
    2. Regula falsi between the last point outside and the first point inside. It needs forward
       passes only, and ends when the two probabilities are within ``tolerance``.

    All samples share the model's calls, whatever their phase, and leave when they are done.

    Args:
        tolerance (float): A sample is done when the target's probability exceeds that of the
            best other class by no more than this; in (0, 1). Defaults to 0.05, which leaves
            half of the samples within 0.02.
        overshoot (float): How far beyond the linear estimate of the boundary a Newton step aims,
            as a share of the step. Larger crosses earlier, with larger perturbations.
            Defaults to 0.2.
        max_steps (int): Most points at which the model is asked about a sample, at least 1.
            Defaults to 10.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self, tolerance: float = 0.05, overshoot: float = 0.2, max_steps: int = 10
    ) -> None:
        if not 0 < tolerance < 1 or overshoot < 0 or max_steps < 1:
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
        # Of each sample: the point to return, and the last one outside the target class.
        moved, outer = inputs.clone(), inputs.clone()
        outer_margins = inputs.new_zeros(len(inputs), dtype=torch.float32)
        reached = torch.zeros(len(inputs), dtype=torch.bool, device=inputs.device)
        active, points = torch.arange(len(inputs), device=inputs.device), inputs
        for step in range(self.max_steps):
            # Most samples need the gradient of the first two points; later few do.
            here = Evaluation(model, points, differentiable=step < 2)
            if step == 0:
                targets = choose(targets, here.logits)
                goals, logits = targets.clamp_min(0), here.logits.clone()

            goal = goals[active]
            margins, inside = target_margin(here.logits, goal), here.logits.argmax(1) == goal
            better = inside | ~reached[active]
            moved[active[better]], logits[active[better]] = points[better], here.logits[better]
            outer[active[~inside]] = points[~inside]
            outer_margins[active[~inside]] = margins[~inside]
            reached[active] |= inside

            # A sample that begins inside has no point outside to search between.
            close = (target_lead(here.logits, goal) <= self.tolerance) | (step == 0)
            going = ~(inside & close) & (targets[active] >= 0)
            if step + 1 == self.max_steps or not going.any():
                break
            following, leads = torch.empty_like(points), torch.ones_like(going)
            seeking, refining = going & ~reached[active], going & reached[active]
            if seeking.any():
                gradient = here.gradient(partial(target_margin, targets=goal[seeking]), seeking)
                following[seeking], leads[seeking] = self.newton_step(
                    points[seeking], gradient, margins[seeking], bounds
                )
            rows = active[refining]
            inner_margins = target_margin(logits[rows], goals[rows])
            following[refining] = self.between(
                outer[rows], moved[rows], outer_margins[rows], inner_margins
            )
            going &= leads
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
        lengths = aim / squared_norm(gradient)
        leads = torch.isfinite(lengths)
        lengths = lengths.masked_fill(~leads, 0)
        return clamp(points - per_sample(lengths, points) * gradient, bounds), leads

    def between(
        self, outer: Tensor, inner: Tensor, outer_margins: Tensor, inner_margins: Tensor
    ) -> Tensor:
        """Point on the segment where linear interpolation puts the aim, just inside the class."""
        share = (outer_margins + self.tolerance / 4) / (outer_margins - inner_margins)
        # Both ends must move on, or a bent margin would let one of them stand still.
        share = share.clamp(0.05, 0.95)
        return outer + per_sample(share, outer) * (inner - outer)


def target_margin(logits: Tensor, targets: Tensor) -> Tensor:
    """Best other logit minus the target's, float32: negative inside the target class."""
    logits = logits.float()
    others = logits.scatter(1, targets[:, None], -float('inf')).amax(1)
    return others - pick(logits, targets)


def target_lead(logits: Tensor, targets: Tensor) -> Tensor:
    """The target's probability minus that of the best other class, float32."""
    probabilities = logits.float().softmax(1)
    return -target_margin(probabilities, targets)
