"""What only the study needs: ways of making boundary samples, and a measurement."""

from functools import partial

import torch
import torch.nn.functional as F
from mmrazor.registry import HOOKS, OPTIM_WRAPPERS, TASK_UTILS
from torch import Tensor

from amkd_mm.attacks import BoundarySearch
from amkd_mm.attacks.base import ForwardPass, clamp, per_sample, pick
from amkd_mm.attacks.boundary_search import target_margin
from amkd_mm.attacks.targets import sample_target
from amkd_mm.attacks.working_rows import select
from amkd_mm.classifiers import predict_logits
from amkd_mm.classifiers.modes import evaluation_mode
from amkd_mm.hooks import BoundarySampleHook
from amkd_mm.optim import SeparateMomentumOptimWrapper
from amkd_mm.samplers import BoundarySampler, Samples


class TwoBoundariesSampler(BoundarySampler):
    """Half as many base samples, each moved towards the teacher's second and its third class."""

    def choose_bases(self, batch, generator):
        """See the base class; the second half repeats the first."""
        rows, _ = super().choose_bases(batch, generator)
        rows = rows[: len(rows) // 2].repeat(2)
        logits, labels = batch.teacher_logits[rows], batch.labels[rows]
        targets = next_two_targets(logits, labels)
        return rows, targets.masked_fill(logits.argmax(1) != labels, -1)


def next_two_targets(logits: Tensor, labels: Tensor) -> Tensor:
    """The teacher's second class for the first half of the rows, its third for the others."""
    others = logits.scatter(1, labels[:, None], -float('inf')).argsort(1, descending=True)
    half = len(logits) // 2
    return torch.cat([others[:half, 0], others[half:, 1]])


class BothSidesSampler(BoundarySampler):
    """Half as many base samples, and as many images of their target classes moved towards them."""

    def choose_bases(self, batch, generator):
        """See the base class; a base sample whose target class is not in the batch stays alone."""
        labels = batch.labels
        rows, _ = super().choose_bases(batch, generator)
        rows = rows[: (len(rows) + 1) // 2]
        targets = sample_target(batch.teacher_logits[rows], labels[rows], generator)
        candidates = targets[:, None] == labels
        partners, alone = candidates.int().argmax(1), ~candidates.any(1)
        base = torch.cat([rows, partners[~alone]])
        towards = torch.cat([targets, labels[rows][~alone]])
        return base, towards.masked_fill(batch.teacher_logits[base].argmax(1) != labels[base], -1)


class NoiseSampler(BoundarySampler):
    """Noise as long as the perturbations of boundary samples, with the teacher's answer there."""

    def __call__(self, batch, generator):
        """See the base class; the statistics are those of the boundary samples."""
        found = super().__call__(batch, generator)
        noise = torch.randn(found.inputs.shape, generator=generator).to(found.inputs)
        perturbations = (found.inputs - found.origins).flatten(1)
        scale = perturbations.norm(dim=1) / noise.flatten(1).norm(dim=1)
        moved = (found.origins + per_sample(scale, noise) * noise).clamp(*batch.normalizer.bounds)
        logits = batch.teacher(moved) if len(moved) else found.teacher_logits
        return found._replace(inputs=moved, teacher_logits=logits)


class BetweenImagesSampler(BoundarySampler):
    """Where the teacher changes its mind on the straight way to an image of another class.

    Which is where decision-based attacks start (Brendel et al., ICLR 2018). The images between two
    are ambiguous for every network, those at the end of a gradient only for the attacked one.
    """

    def __call__(self, batch, generator):
        """See the base class; the target class is the teacher's answer on the other side."""
        rows, _ = super().choose_bases(batch, generator)
        others = torch.randint(len(batch.labels), (len(rows),), generator=generator).to(rows)
        predicted = batch.teacher_logits.argmax(1)
        suitable = (predicted[rows] == batch.labels[rows]) & (predicted[others] != predicted[rows])
        rows, others = rows[suitable], others[suitable]
        labels, targets = batch.labels[rows], predicted[others]
        start, end = batch.inputs[rows], batch.inputs[others]

        def way(shares):
            return start.lerp(end, per_sample(shares, start))

        def margins(logits):
            return pick(logits, labels) - pick(logits, targets)

        moved, logits = start, batch.teacher_logits[rows]
        if len(rows):
            ends = margins(logits), margins(batch.teacher_logits[others])
            moved, logits = self.look(batch, way, margins, ends, generator)
        probabilities = logits.softmax(1)
        gap = (pick(probabilities, labels) - pick(probabilities, targets)).abs()
        statistics = dict(
            attacked=suitable.sum(),
            reached=(gap < 0.07).float().mean(),
            probability_gap=gap.mean(),
            l2=(moved - start).flatten(1).norm(dim=1).mean(),
        )
        return Samples(moved, start, rows, labels, targets, logits, statistics)

    def look(self, batch, way, margins, ends, generator):
        """Look three times for the zero of the margins (M,) on the way, by regula falsi (Illinois).

        Returns:
            tuple: Where the last look was, (M, C, H, W), and the teacher's logits there, (M, K).
        """
        high_margins, low_margins = ends
        low, high = torch.zeros_like(high_margins), torch.ones_like(high_margins)
        before = torch.zeros_like(low, dtype=torch.bool), torch.zeros_like(low, dtype=torch.bool)
        for _ in range(3):
            shares = low + (high - low) * high_margins / (high_margins - low_margins)
            moved = way(shares)
            logits = batch.teacher(moved)
            found = margins(logits)
            kept = found > 0
            # An end that stays twice counts half, or it would stay for ever.
            high_margins = torch.where(~kept & before[0], high_margins / 2, high_margins)
            low_margins = torch.where(kept & before[1], low_margins / 2, low_margins)
            high_margins = torch.where(kept, found, high_margins)
            low_margins = torch.where(kept, low_margins, found)
            low, high = torch.where(kept, shares, low), torch.where(kept, high, shares)
            before = ~kept, kept
        return moved, logits


class MixedImagesSampler(BetweenImagesSampler):
    """Anywhere on the first half of that way, as Mixup has its images (Zhang et al., ICLR 2018)."""

    def look(self, batch, way, margins, ends, generator):
        """Look once, at random shares below a half."""
        moved = way(torch.rand(len(ends[0]), generator=generator).to(ends[0]) / 2)
        return moved, batch.teacher(moved)


@HOOKS.register_module()
class TwoBoundariesHook(BoundarySampleHook):
    """See its sampler."""

    sampler_class = TwoBoundariesSampler


@HOOKS.register_module()
class BothSidesHook(BoundarySampleHook):
    """See its sampler."""

    sampler_class = BothSidesSampler


@HOOKS.register_module()
class NoiseHook(BoundarySampleHook):
    """See its sampler."""

    sampler_class = NoiseSampler


@HOOKS.register_module()
class BetweenImagesHook(BoundarySampleHook):
    """See its sampler."""

    sampler_class = BetweenImagesSampler


@HOOKS.register_module()
class MixedImagesHook(BoundarySampleHook):
    """See its sampler."""

    sampler_class = MixedImagesSampler


@HOOKS.register_module()
class JointSampleHook(BoundarySampleHook):
    """Gives the attack the student, as it is in that step but in evaluation mode."""

    def before_train(self, runner):
        """See the base class."""
        super().before_train(runner)
        self.maker.attack.student = self.see

    def see(self, inputs):
        """The student's logits."""
        student = self.algorithm.student
        with evaluation_mode(student):
            return predict_logits(student, inputs)


@TASK_UTILS.register_module()
class SmoothBoundarySearch(BoundarySearch):
    """Perturbations that are constant in blocks of pixels: such are more alike between networks.

    Low-frequency perturbations, as in Guo et al., UAI 2019.
    """

    def __init__(self, block: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.block = block

    def newton_step(self, points, gradient, margins, bounds):
        """See the base class; the mean in each block is the gradient's orthogonal projection."""
        means = F.avg_pool2d(gradient, self.block)
        smooth = F.interpolate(means, scale_factor=self.block, mode='nearest')
        return super().newton_step(points, smooth, margins, bounds)


@TASK_UTILS.register_module()
class JointBoundarySearch(BoundarySearch):
    """The teacher's boundary, in a direction in which the student's margin falls as steeply."""

    def descend(self, search, here, margins, steep, bounds):
        """See the base class; the direction is the mean of both networks' unit gradients."""
        values = partial(target_margin, targets=search.goals)
        gradient = here.gradient(values, steep)
        student = ForwardPass(self.student, search.points, True).gradient(values, steep)
        direction = F.normalize(gradient.flatten(1)) + F.normalize(student.flatten(1))
        slope = (gradient.flatten(1) * direction).sum(1)
        lengths = ((1 + self.overshoot) * margins + self.tolerance) / slope
        # Where the two point away from each other there is no way.
        leads = torch.isfinite(lengths) & (slope > 0)
        step = per_sample(lengths, search.points) * direction.reshape(search.points.shape)
        ahead = clamp(search.points - step, bounds)
        return search._replace(
            points=select(steep & leads, ahead, search.points),
            active=search.active & (leads | ~steep),
        )


@OPTIM_WRAPPERS.register_module()
class GradientConflictOptimWrapper(SeparateMomentumOptimWrapper):
    """SGD that logs, for each other loss, how its gradient relates to that of the clean samples.

    ``cosine/NAME`` is their cosine, ``length/NAME`` the ratio of their lengths; the losses of clean
    samples are the task loss and ``distill.loss_kl``.
    """

    def __init__(self, optimizer, **kwargs) -> None:
        # With the optimizer's own momentum this is plain SGD.
        momentum = optimizer.param_groups[0]['momentum']
        groups = dict(kl=dict(losses=['distill.loss_kl'], momentum=momentum))
        super().__init__(optimizer, groups, **kwargs)

    def update_params(self, loss, *args, **kwargs) -> None:
        """Make a step."""
        names = ('student.loss', 'distill.loss_kl')
        clean = self.flat_gradient(sum(self._losses[name] for name in names))
        for name, value in self._losses.items():
            if name not in names and value.requires_grad:
                gradient = self.flat_gradient(value)
                cosine = torch.cosine_similarity(gradient, clean, dim=0)
                length = gradient.norm() / clean.norm()
                self.message_hub.update_scalar(f'train/cosine/{name}', cosine.item())
                self.message_hub.update_scalar(f'train/length/{name}', length.item())
        super().update_params(loss, *args, **kwargs)

    def flat_gradient(self, loss) -> Tensor:
        """All parameters' gradients of a loss as one vector."""
        groups = self.optimizer.param_groups
        parameters = [p for group in groups for p in group['params'] if p.requires_grad]
        found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        return torch.cat(
            [
                torch.zeros_like(parameter).flatten() if gradient is None else gradient.flatten()
                for parameter, gradient in zip(parameters, found, strict=True)
            ]
        )
