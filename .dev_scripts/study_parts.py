"""What only the study needs: ways of making boundary samples, and a measurement."""

import torch
import torch.nn.functional as F
from mmrazor.registry import HOOKS, OPTIM_WRAPPERS, TASK_UTILS
from torch import Tensor

from amkd_mm.attacks import BoundarySearch
from amkd_mm.attacks.targets import sample_target
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


class BetweenImagesSampler(BoundarySampler):
    """Where the teacher changes its mind on the straight way to an image of another class.

    Which is where decision-based attacks start (Brendel et al., ICLR 2018). The images between two
    are ambiguous for every network, those at the end of a gradient only for the attacked one.
    """

    def __call__(self, batch, generator):
        """See the base class; the target class is the one on the other side."""
        rows, _ = super().choose_bases(batch, generator)
        others = torch.randint(len(batch.labels), (len(rows),), generator=generator).to(rows)
        start, end, base = batch.inputs[rows], batch.inputs[others], batch.labels[rows]
        low = start.new_zeros(len(rows), 1, 1, 1)
        high = torch.ones_like(low)
        predicted = batch.teacher_logits.argmax(1)
        suitable = (predicted[rows] == base) & (predicted[others] != base)
        for _ in range(6):
            middle = (low + high) / 2
            kept = batch.teacher(start.lerp(end, middle)).argmax(1) == base
            kept = kept[:, None, None, None]
            low, high = torch.where(kept, middle, low), torch.where(kept, high, middle)
        moved = start.lerp(end, high)
        logits = batch.teacher(moved)
        gap = logits.softmax(1).topk(2).values.diff(dim=1).abs()
        return Samples(
            moved[suitable],
            start[suitable],
            rows[suitable],
            base[suitable],
            logits.argmax(1)[suitable],
            logits[suitable],
            dict(
                attacked=suitable.sum(),
                reached=suitable.float().mean(),
                gap=gap[suitable].mean(),
                l2=(moved - start)[suitable].flatten(1).norm(dim=1).mean(),
            ),
        )


@HOOKS.register_module()
class TwoBoundariesHook(BoundarySampleHook):
    """See its sampler."""

    sampler_class = TwoBoundariesSampler


@HOOKS.register_module()
class BothSidesHook(BoundarySampleHook):
    """See its sampler."""

    sampler_class = BothSidesSampler


@HOOKS.register_module()
class BetweenImagesHook(BoundarySampleHook):
    """See its sampler."""

    sampler_class = BetweenImagesSampler


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
