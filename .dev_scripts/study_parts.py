"""What only the study needs: ways of making boundary samples, and a measurement."""

import torch
import torch.nn.functional as F
from mmrazor.registry import HOOKS, OPTIM_WRAPPERS, TASK_UTILS
from torch import Tensor

from amkd_mm.attacks import AttackResult, BoundarySearch
from amkd_mm.hooks import BoundarySampleHook
from amkd_mm.hooks.boundary_sample_hook import sample_target
from amkd_mm.optim import SeparateMomentumOptimWrapper


@HOOKS.register_module()
class TwoBoundariesHook(BoundarySampleHook):
    """Half as many base samples, each moved towards the teacher's second and its third class."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.target = next_two_targets

    def choose_bases(self, space, inputs, labels, generator) -> Tensor:
        """Indices of the rows to attack, (M,): the second half repeats the first."""
        rows = super().choose_bases(space, inputs, labels, generator)
        return rows[: len(rows) // 2].repeat(2)


def next_two_targets(logits: Tensor, labels: Tensor, generator=None) -> Tensor:
    """The teacher's second class for the first half of the rows, its third for the others."""
    others = logits.scatter(1, labels[:, None], -float('inf')).argsort(1, descending=True)
    half = len(logits) // 2
    return torch.cat([others[:half, 0], others[half:, 1]])


@HOOKS.register_module()
class BothSidesHook(BoundarySampleHook):
    """Half as many base samples, and as many images of their target classes moved towards them."""

    def find(self, space, inputs, labels, generator):
        """See the base class; a base sample whose target class is not in the batch stays alone."""
        rows = self.choose_bases(space, inputs, labels, generator)
        rows = rows[: (len(rows) + 1) // 2]
        logits = self.ask_teacher(space.pad(inputs[rows])).detach()
        targets = sample_target(logits, labels[rows], generator)
        candidates = targets[:, None] == labels
        partners, alone = candidates.int().argmax(1), ~candidates.any(1)
        base = torch.cat([rows, partners[~alone]])
        towards = torch.cat([targets, labels[rows][~alone]])
        return base, self.move(space, inputs[base], labels[base], lambda _: towards)


@HOOKS.register_module()
class BetweenImagesHook(BoundarySampleHook):
    """Where the teacher changes its mind on the straight way to an image of another class.

    Which is where decision-based attacks start (Brendel et al., ICLR 2018). The images between two
    are ambiguous for every network, those at the end of a gradient only for the attacked one.
    """

    def find(self, space, inputs, labels, generator):
        """See the base class; the target class is the one on the other side."""
        rows = self.choose_bases(space, inputs, labels, generator)
        others = torch.randint(len(labels), (len(rows),), generator=generator).to(rows)
        start, end, base = inputs[rows], inputs[others], labels[rows]
        low = inputs.new_zeros(len(rows), 1, 1, 1)
        high = torch.ones_like(low)

        def ask(images):
            return self.ask_teacher(space.pad(images))

        suitable = (ask(start).argmax(1) == base) & (ask(end).argmax(1) != base)
        for _ in range(6):
            middle = (low + high) / 2
            kept = (ask(start.lerp(end, middle)).argmax(1) == base)[:, None, None, None]
            low, high = torch.where(kept, middle, low), torch.where(kept, high, middle)
        moved = start.lerp(end, high)
        logits = ask(moved)
        targets = logits.argmax(1).masked_fill(~suitable, -1)
        return rows, AttackResult(moved, suitable, logits, targets)


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
