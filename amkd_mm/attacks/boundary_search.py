"""BoundarySearch: samples that land on the decision boundary."""

import torch
from mmrazor.registry import TASK_UTILS
from torch import Tensor

from .base import (
    AttackResult,
    BoundaryAttack,
    Bounds,
    Model,
    Targets,
    choose,
    clamp,
    input_gradient,
    per_sample,
    pick,
    squared_norm,
)


@TASK_UTILS.register_module()
class BoundarySearch(BoundaryAttack):
    """Finds samples just inside the target class, with a small perturbation (ours).

    Two phases, each sample on its own schedule:

    1. Newton steps with overshoot on the margin of the target class, the best other logit minus
       the target's, until the target class wins. Taking the best other class instead of the
       base class steers a sample back that has strayed into a third class. The step is that of
       DeepFool (Moosavi-Dezfooli et al., CVPR 2016) for a given target.
    2. Regula falsi between the last point outside and the first point inside. It needs forward
       passes only, and ends when the two probabilities are within ``tolerance``.

    Args:
        tolerance (float): A sample is done when the target's probability exceeds that of the
            best other class by no more than this; in (0, 1). Defaults to 0.05, which leaves
            half of the samples within 0.02.
        overshoot (float): How far beyond the linear estimate of the boundary a Newton step aims,
            as a share of the step. Larger crosses earlier, with larger perturbations.
            Defaults to 0.2.
        max_steps (int): Most model evaluations in either phase, at least 1. Defaults to 10.

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
        moved, logits, targets, outer, outer_margins = self.cross(
            model, inputs, labels, targets, bounds
        )
        goals = targets.clamp_min(0)
        # Samples inside from the start have no point outside to search between.
        inside = logits.argmax(1) == targets
        refining = torch.nonzero(inside & (outer_margins > 0)).squeeze(1)
        for _ in range(self.max_steps):
            lead = target_lead(logits[refining], goals[refining])
            refining = refining[lead > self.tolerance]
            if not len(refining):
                break
            points = self.between(
                outer[refining],
                moved[refining],
                outer_margins[refining],
                target_margin(logits[refining], goals[refining]),
            )
            with torch.no_grad():
                scores = model(points)
            within = scores.argmax(1) == goals[refining]
            inner, outside = refining[within], refining[~within]
            moved[inner], logits[inner] = points[within], scores[within]
            outer[outside] = points[~within]
            outer_margins[outside] = target_margin(scores, goals[refining])[~within]
        return AttackResult(moved, inside, logits, targets)

    def cross(
        self,
        model: Model,
        inputs: Tensor,
        labels: Tensor,
        targets: Targets,
        bounds: Bounds | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """First phase: step until the target class wins.

        Returns:
            tuple: The points reached, the logits there, the targets, the last points outside the
            target class and the margins there (NaN for samples that never were outside).
        """
        moved, outer = inputs.clone(), inputs.clone()
        outer_margins = inputs.new_full((len(inputs),), float('nan'), dtype=torch.float32)
        seeking = torch.arange(len(inputs), device=inputs.device)
        for step in range(self.max_steps):
            points = moved[seeking].requires_grad_()
            scores = model(points)
            if step == 0:
                targets = choose(targets, scores.detach())
                goals = targets.clamp_min(0)
                logits = scores.detach().clone()
            else:
                logits[seeking] = scores.detach()

            outside = (scores.argmax(1) != goals[seeking]) & (targets[seeking] >= 0)
            if step + 1 == self.max_steps or not outside.any():
                break
            margins = target_margin(scores, goals[seeking])[outside]
            gradient = input_gradient(margins, points)[outside]
            seeking, points, margins = seeking[outside], points.detach()[outside], margins.detach()
            outer[seeking], outer_margins[seeking] = points, margins
            # What a bound holds back would be missing from the step.
            gradient = gradient.masked_fill(clamp(points - gradient.sign(), bounds) == points, 0)

            # Newton's step to the aim; the tolerance lets it cross where the margin is tiny.
            aim = (1 + self.overshoot) * margins + self.tolerance
            norm = squared_norm(gradient)
            moving = (norm > 0) & torch.isfinite(aim / norm)
            steps = torch.where(moving, aim / norm, torch.zeros_like(aim))
            moved[seeking] = clamp(points - per_sample(steps, points) * gradient, bounds)
            # Without a gradient there is nowhere to go.
            seeking = seeking[moving]
            if not len(seeking):
                break
        return moved, logits, targets, outer, outer_margins

    def between(
        self, outer: Tensor, inner: Tensor, outer_margins: Tensor, inner_margins: Tensor
    ) -> Tensor:
        """Point on the segment where linear interpolation puts the aim, just inside the class."""
        share = (outer_margins + self.tolerance / 2) / (outer_margins - inner_margins)
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
