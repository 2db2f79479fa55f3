"""Turning activation checkpointing off, where it does not go together with what is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.runner import activation_checkpointing
from torch import nn

# What MMPretrain's modules, and those of timm and transformers, call it.
FLAGS = (
    'with_cp',
    'use_checkpoint',
    'memory_efficient',
    'grad_checkpointing',
    'gradient_checkpointing',
)


def disable_checkpointing(model: nn.Module) -> bool:
    """Let a model keep its activations: recomputing them does not give input gradients.

    A frozen model keeps none for its own sake, so that it costs nothing outside an attack.

    Returns:
        bool: Whether there was something to turn off.
    """
    found = checkpointed(model)
    for module, name, plain in found:
        setattr(module, name, plain)
    return bool(found)


@contextmanager
def without_checkpointing(*models: nn.Module) -> Iterator[None]:
    """Disable activation checkpointing for a while, in models that are trained with it."""
    found = [
        (module, name, getattr(module, name), plain)
        for model in models
        for module, name, plain in checkpointed(model)
    ]
    for module, name, _, plain in found:
        setattr(module, name, plain)
    try:
        yield
    finally:
        for module, name, before, _ in found:
            setattr(module, name, before)


def checkpointed(model: nn.Module) -> list[tuple[nn.Module, str, Any]]:
    """The modules that checkpoint activations, the attribute that does it, and its value if not."""
    found = []
    for module in model.modules():
        found += [(module, name, False) for name in FLAGS if getattr(module, name, None) is True]
        forward = vars(module).get('forward')
        # What `activation_checkpointing` of the Runner makes of it.
        if getattr(forward, '__globals__', None) is vars(activation_checkpointing):
            found.append((module, 'forward', forward.__wrapped__))
    return found
