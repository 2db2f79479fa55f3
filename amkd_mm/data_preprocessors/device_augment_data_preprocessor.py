"""DeviceAugmentDataPreprocessor: MMPretrain's, which also crops and flips training images."""

from collections.abc import Sequence

import torch
from mmengine.dist import get_rank
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import MODELS
from mmrazor.registry import TASK_UTILS
from torch import Tensor

from ..config.argument_checks import check_kind
from ..config.errors import ConfigError
from .device_augments import DeviceAugment

KEY = 'data_preprocessor.device_augments'


@MODELS.register_module()
class DeviceAugmentDataPreprocessor(ClsDataPreprocessor):
    """``ClsDataPreprocessor`` that also augments training batches, on the device (ours).

    At 32 px the augmentation of a pipeline, image by image in Python, is slower than a GPU trains.
    ``device_augments`` takes the entries of the pipeline's ``RandomCrop`` and ``RandomFlip`` as
    they are: move them from there to here. Each image is still drawn for alone, with the same
    probabilities, though with other numbers. They work on the pixels, before these are normalised
    and before Mixup or CutMix; labels, and all that is no training step, are left alone.

    The random numbers come from PyTorch's generator of the CPU and the rank of the process. So a
    seed gives the same images on every device, processes draw for themselves, and with
    ``StepSeedHook`` a resumed training sees what an uninterrupted one does. Their copy to the
    device waits for nothing.

    Args:
        device_augments (Sequence[dict]): Configs of ``RandomCrop``, ``RandomFlip`` and other
            ``DeviceAugment`` classes, applied in this order. Defaults to (), none.
        **kwargs: See ``ClsDataPreprocessor``.

    Raises:
        KeyError: If no such augmentation is registered.
        TypeError: If an argument is unknown or of another type, or, in training, if the images of
            a batch have several sizes.
        ValueError: If an argument is out of its range.
    """

    def __init__(self, device_augments: Sequence[dict] = (), **kwargs) -> None:
        super().__init__(**kwargs)
        example = "[dict(type='RandomFlip', prob=0.5)]"
        check_kind(KEY, device_augments, (list, tuple), example)
        self.device_augments = [
            build_augment(f'{KEY}.{index}', augment)
            for index, augment in enumerate(device_augments)
        ]

    def forward(self, data: dict, training: bool = False) -> dict:
        """Augment, then do what ``ClsDataPreprocessor`` does.

        Args:
            data (dict): ``inputs``, images (N, C, H, W) or a list of (C, H, W) in [0, 255], and
                ``data_samples``; not changed.
            training (bool): Whether to augment. Defaults to False.

        Returns:
            dict: ``inputs``, float32 (N, C, H', W') on the device, and ``data_samples``.
        """
        if training and self.device_augments:
            images = stack(self.cast_data(data['inputs']))
            generator = make_generator()
            for augment in self.device_augments:
                images = augment(images, generator)
            data = {**data, 'inputs': images}
        return super().forward(data, training)


def build_augment(key: str, augment: dict) -> DeviceAugment:
    """Build an augmentation from its config.

    Raises:
        KeyError: If no such augmentation is registered; the message lists those that are.
        TypeError: If it is no dict, or an argument is unknown or of another type.
        ValueError: If an argument is out of its range.
    """
    check_kind(key, augment, dict, "dict(type='RandomFlip', prob=0.5)")
    known = {
        name: kind
        for name, kind in TASK_UTILS.module_dict.items()
        if isinstance(kind, type) and issubclass(kind, DeviceAugment)
    }
    # A pipeline may name MMPretrain's own, by scope or class.
    name = augment.get('type')
    name = name.rpartition('.')[2] if isinstance(name, str) else getattr(name, '__name__', name)
    if name not in known:
        raise KeyError(
            f'{key}.type: {name!r} has no counterpart for whole batches on the device; leave it '
            f'in the `pipeline` of `train_dataloader`, or write one of {sorted(known)}'
        )
    arguments = {word: value for word, value in augment.items() if word not in ('type', '_scope_')}
    try:
        return TASK_UTILS.build({**arguments, 'type': known[name]})
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise type(error)(f'{key}: {error}') from None


def stack(images: Tensor | Sequence[Tensor]) -> Tensor:
    """Images of one size as one tensor, (N, C, H, W)."""
    if isinstance(images, Tensor):
        return images
    shapes = sorted({tuple(image.shape) for image in images})
    if len(shapes) > 1:
        raise TypeError(
            f'{KEY} needs images of one size in a batch, but got {shapes}: resize or crop them in '
            'the `pipeline` of `train_dataloader`'
        )
    return torch.stack(list(images))


def make_generator() -> torch.Generator:
    """A generator of this step and process, where all processes may have the same seed."""
    drawn = torch.randint(2**63 - 1, ()).item()
    return torch.Generator().manual_seed(hash((drawn, get_rank())) % 2**63)
