"""Boundary samples of images, and how far they are."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..attacks import AttackResult, BoundaryAttack
from ..data_preprocessors.normalizer import Normalizer

# Of the lengths below.
UNIT = 'L2, pixel values 0 to 255'


def move_to_boundary(
    attack: BoundaryAttack,
    classify: Callable[[Tensor], Tensor],
    normalizer: Normalizer,
    pixels: Tensor,
    labels: Tensor,
    targets: Tensor,
    batch_size: int = 64,
) -> AttackResult:
    """Attack images batch by batch.

    Args:
        attack (BoundaryAttack): Moves them.
        classify (Callable): Maps normalised inputs (N, C, H, W), not padded, to logits (N, K).
        normalizer (Normalizer): The way from pixels to inputs and back.
        pixels (Tensor): Images in [0, 255], (N, C, H, W).
        labels (Tensor): Base classes, (N,).
        targets (Tensor): Target classes, (N,).
        batch_size (int): Most images in a batch. Defaults to 64.

    Returns:
        AttackResult: Its ``inputs`` are pixels, as the dataloader orders them.
    """
    parts = [
        attack(classify, normalizer.normalize(images), *classes, normalizer.bounds)
        for images, *classes in zip(
            *(tensor.split(batch_size) for tensor in (pixels, labels, targets)), strict=True
        )
    ]
    result = AttackResult(*map(torch.cat, zip(*parts, strict=True)))
    return result._replace(inputs=normalizer.denormalize(result.inputs))


class Mover(NamedTuple):
    """What moves images to the boundary of one of several networks.

    Attributes:
        attack (BoundaryAttack): How.
        normalizer (Normalizer): The way from pixels to inputs and back.
        networks (dict[str, Callable]): Name to a function from normalised inputs (N, C, H, W), not
            padded, to logits (N, K).
    """

    attack: BoundaryAttack
    normalizer: Normalizer
    networks: dict[str, Callable[[Tensor], Tensor]]

    def __call__(self, name: str, pixels: Tensor, labels: Tensor, targets: Tensor) -> AttackResult:
        """Move images to the boundary of a network; see :func:`move_to_boundary`."""
        network = self.networks[name]
        return move_to_boundary(self.attack, network, self.normalizer, pixels, labels, targets)

    @torch.no_grad()
    def logits(self, name: str, pixels: Tensor, batch_size: int = 256) -> Tensor:
        """Logits (N, K) of images in [0, 255] and beyond, (N, C, H, W)."""
        inputs = map(self.normalizer.normalize, pixels.split(batch_size))
        return torch.cat([self.networks[name](batch) for batch in inputs])


def distances(images: Tensor, moved: Tensor) -> Tensor:
    """L2 distance of each image to where it was moved, (N, C, H, W) twice to (N,) float32."""
    return torch.linalg.vector_norm((moved.float() - images.float()).flatten(1), dim=1)


def first_of_each_class(labels: Tensor, suitable: Tensor, number: int) -> list[int]:
    """Rows to show: the first suitable one of each class, then the second, and so on.

    Args:
        labels (Tensor): Classes, (N,).
        suitable (Tensor): Which rows may be shown, (N,) bool.
        number (int): Most rows.

    Returns:
        list[int]: At most ``number`` rows.
    """
    seen: dict[int, int] = {}
    turns = []
    for row in suitable.nonzero().flatten().tolist():
        label = int(labels[row])
        seen[label] = seen.get(label, 0) + 1
        turns.append((seen[label], row))
    return [row for _, row in sorted(turns)][:number]
