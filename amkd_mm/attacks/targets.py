"""Choosers of target classes: towards which boundary a sample is moved."""

from collections.abc import Callable

import torch
from torch import Tensor

TargetChooser = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def sample_target(logits: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from the teacher's softmax without the base class, as BSS does.

    Args:
        logits (Tensor): Of the teacher, (N, K).
        labels (Tensor): Base classes, (N,) int64.
        generator (torch.Generator): On the CPU, so that a run does not depend on the device.

    Returns:
        Tensor: Target classes, (N,) int64.
    """
    others = logits.float().scatter(1, labels[:, None], -float('inf')).softmax(1).cumsum(1)
    draws = torch.rand(len(logits), 1, generator=generator).to(others)
    # The first class whose cumulative probability exceeds the draw; the base class adds none.
    return (others <= draws * others[:, -1:]).sum(1)


def runner_up_target(
    logits: Tensor, labels: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """The teacher's best class besides the base class; arguments as of :func:`sample_target`."""
    return logits.scatter(1, labels[:, None], -float('inf')).argmax(1)


def random_target(logits: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Any other class, all equally likely; arguments as of :func:`sample_target`."""
    steps = torch.randint(1, logits.size(1), (len(logits),), generator=generator)
    return (labels + steps.to(labels)) % logits.size(1)


TARGET_CHOOSERS: dict[str, TargetChooser] = dict(
    sample=sample_target, runner_up=runner_up_target, random=random_target
)
