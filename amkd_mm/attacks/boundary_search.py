"""BoundarySearch: samples that land on the decision boundary."""

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


class Search(NamedTuple):
    """What is known of M samples that are searched for.

    Attributes:
        inputs, reached, logits, targets (Tensor): The result so far, see :class:`AttackResult`: the
            last point inside the target class, otherwise the last point.
        rows (Tensor): Places in the batch, (M,) int64.
        active (Tensor): Whether a sample goes on, (M,) bool.
        points (Tensor): Where to ask the model, (M, C, H, W).
        outer (Tensor): The last point outside, or before ``inputs``, (M, C, H, W).
        margins, outer_margins (Tensor): Margins at ``inputs`` and ``outer``, (M,) float32.
    """

    inputs: Tensor
    reached: Tensor
    logits: Tensor
    targets: Tensor
    rows: Tensor
    active: Tensor
    points: Tensor
    outer: Tensor
    margins: Tensor
    outer_margins: Tensor

    @classmethod
    def begin(cls, inputs: Tensor, logits: Tensor, targets: Tensor) -> 'Search':
        """Before the first look, whose logits (M, K) are known."""
        return cls(
            inputs=inputs,
            reached=torch.zeros_like(targets, dtype=torch.bool),
            logits=logits,
            targets=targets,
            rows=torch.arange(len(inputs), device=inputs.device),
            active=targets >= 0,
            points=inputs,
            outer=inputs,
            margins=inputs.new_zeros(len(inputs), dtype=torch.float32),
            outer_margins=inputs.new_zeros(len(inputs), dtype=torch.float32),
        )

    @property
    def goals(self) -> Tensor:
        """Target classes that can be looked up, (M,): any one for samples left alone."""
        return self.targets.clamp_min(0)

    def after_look(self, logits: Tensor, margins: Tensor, inside: Tensor) -> 'Search':
        """With what the model says at ``points``: logits (M, K), margins (M,), inside (M,) bool."""
        # Of a sample still outside keep the last two points, of another the last on either side.
        follows, strays = self.active & ~self.reached, self.active & self.reached & ~inside
        moves = self.active & ~strays

        def outermost(before: Tensor, now: Tensor, outer: Tensor) -> Tensor:
            return select(strays, now, select(follows, before, outer))

        return self._replace(
            inputs=select(moves, self.points, self.inputs),
            margins=select(moves, margins, self.margins),
            logits=select(moves, logits, self.logits),
            outer=outermost(self.inputs, self.points, self.outer),
            outer_margins=outermost(self.margins, margins, self.outer_margins),
            reached=self.reached | (self.active & inside),
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
    All samples share the model's calls, whatever their phase.

    With ``drop_finished`` they leave when they are done: 4.0 looks and 2.1 gradients a sample on a
    network trained on Digits, in at most 13 calls of the model, because it is asked once more about
    those whose gradient turns out to be needed; host and device synchronise at most 7 times, once
    after each look but the last. Without it, 8 looks and 7 gradients of every sample in 8 calls,
    2.4 times as much work, and no synchronisation. In both, checking a tensor of targets costs a
    synchronisation, and so do tensors as bounds that are not those of the last call. Dropping is
    faster on a CPU; on a GPU neither has been measured.

    Args:
        tolerance (float): A sample is done when the target's probability exceeds that of the
            best other class by no more than this; in (0, 1). Defaults to 0.07. About half of the
            samples come much closer, because regula falsi aims at an eighth of it.
        overshoot (float): How far beyond the linear estimate of the boundary a Newton step aims,
            as a share of the step. Larger crosses earlier, with larger perturbations.
            Defaults to 0.2.
        max_steps (int): Most points at which the model is asked about a sample, at least 1.
            Defaults to 8.
        drop_finished (bool): Whether samples leave the batch when they are done, see above.
            Defaults to True.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        tolerance: float = 0.07,
        overshoot: float = 0.2,
        max_steps: int = 8,
        drop_finished: bool = True,
    ) -> None:
        super().__init__(drop_finished)
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
        bounds: TensorBounds | None,
    ) -> AttackResult:
        """See :meth:`BoundaryAttack.__call__`."""
        here = ForwardPass(model, inputs, differentiable=self.max_steps > 1)
        search = Search.begin(inputs, here.logits, choose(targets, here.logits))
        found = AttackResult(*(value.clone() for value in search[:4]))
        with_gradient = True
        for step in range(self.max_steps):
            last = step + 1 == self.max_steps
            if step:
                here = ForwardPass(model, search.points, with_gradient and not last)
            margins = target_margin(here.logits, search.goals)
            inside = here.logits.argmax(1) == search.goals
            search = search.after_look(here.logits, margins, inside)
            if last:
                break
            # A sample that begins inside has no point outside to search between.
            close = (target_lead(here.logits, search.goals) <= self.tolerance) | (step == 0)
            going = search.active & ~(inside & close)
            shares, near = self.secant(search.outer_margins, search.margins)
            straight = going & (search.reached | near if step >= 2 else search.reached)
            way = per_sample(shares, inputs) * (search.inputs - search.outer)
            ahead = select(straight, clamp(search.outer + way, bounds), search.points)
            steep = going & ~straight
            search = search._replace(points=ahead, active=going)
            if with_gradient:
                search = self.descend(search, here, margins, steep, bounds)
            if not self.drop_finished:
                continue
            kinds = search.active.long() + (search.active & steep).long()
            finished, straight_rows, steep_rows = rows_by_kind(kinds, 3)
            store(take(search, finished), found)
            rows = torch.cat([straight_rows, steep_rows])
            search, margins = take(search, rows), margins[rows]
            if not len(rows):
                break
            if len(steep_rows) and not with_gradient:
                # The model is asked once more about those that turned out to need a gradient.
                tail = slice(len(straight_rows), None)
                few = take(search, tail)
                again = ForwardPass(model, few.points, differentiable=True)
                few = self.descend(few, again, margins[tail], few.active, bounds)
                search.points[tail], search.active[tail] = few.points, few.active
            # Most samples need the gradient of the first two points; then the last look tells.
            with_gradient = step == 0 or (step > 1 and 2 * len(steep_rows) > len(kinds))
        store(search, found)
        return found

    def descend(
        self,
        search: Search,
        here: ForwardPass,
        margins: Tensor,
        steep: Tensor,
        bounds: TensorBounds | None,
    ) -> Search:
        """Newton's step of the steep samples, (M,) bool; who has no gradient to follow, ends."""
        gradient = here.gradient(partial(target_margin, targets=search.goals), steep)
        ahead, leads = self.newton_step(search.points, gradient, margins, bounds)
        return search._replace(
            points=select(steep & leads, ahead, search.points),
            active=search.active & (leads | ~steep),
        )

    def newton_step(
        self, points: Tensor, gradient: Tensor, margins: Tensor, bounds: TensorBounds | None
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
