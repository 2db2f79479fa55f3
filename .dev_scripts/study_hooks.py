"""Ways of making boundary samples that only the study needs."""

from mmrazor.registry import HOOKS
from torch import Tensor

from amkd_mm.hooks import BoundarySampleHook
from amkd_mm.hooks.boundary_sample_hook import sample_target


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
    return others[:half, 0].new_tensor([*others[:half, 0], *others[half:, 1]])


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
        base = rows.new_tensor([*rows, *partners[~alone]])
        towards = rows.new_tensor([*targets, *labels[rows][~alone]])

        def choose_targets(logits: Tensor) -> Tensor:
            return towards.masked_fill(logits.argmax(1) != labels[base], -1)

        def ask_teacher(images: Tensor) -> Tensor:
            return self.ask_teacher(space.pad(images))

        return base, self.attack(
            ask_teacher, inputs[base], labels[base], choose_targets, space.bounds
        )
