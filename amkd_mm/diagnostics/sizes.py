"""Sizes of images, (height, width): what pipelines make, and what networks are made for."""

from collections.abc import Sequence

from torch import nn

from ..config.classes import class_name

Size = tuple[int, int]


def shown(size: Sequence[int]) -> str:
    """A size as in a text."""
    return f'{size[0]}x{size[1]}'


def written(size: Sequence[int]) -> str:
    """A size as in a config."""
    return str(size[0] if size[0] == size[1] else tuple(size))


def pipeline_size(pipeline: Sequence[dict] | None) -> Size | None:
    """The size that a pipeline ends with, or None if it does not say."""
    for transform in reversed(list(pipeline or [])):
        kind = class_name(transform)
        value = next((transform[k] for k in ('crop_size', 'scale', 'size') if k in transform), None)
        if not any(word in kind for word in ('Crop', 'Resize', 'Pad')) or not value:
            continue
        if isinstance(value, int):
            return value, value
        # MMCV's `scale` is (width, height), that of a crop (height, width).
        return tuple(value)[::-1] if kind == 'Resize' else tuple(value)
    return None


def declared_size(network: nn.Module) -> Size | None:
    """The size that a network says it is made for, or None."""
    # A network of timm with `dynamic_img_size=True` takes others just as well.
    fixed = [module for module in network.modules() if getattr(module, 'strict_img_size', True)]
    sizes = [getattr(module, 'img_size', None) for module in fixed]
    size = next(filter(None, sizes), None)
    return (size, size) if isinstance(size, int) else size and tuple(size)
