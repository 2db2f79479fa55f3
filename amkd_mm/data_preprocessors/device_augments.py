"""Random crops and flips of whole batches, with a draw of its own for each image.

Plain indexing, without a library: torchvision's transforms draw once for a batch. Those of kornia
0.9.0 took 1.6 to 3.7 times as long (a CPU, 256 images of 32 px), refuse 8-bit images, and need
Python 3.11 and torch 2.5.1 or newer, where this package supports older ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Real

import torch
import torch.nn.functional as F
from mmrazor.registry import TASK_UTILS
from torch import Tensor

from ..config.argument_checks import check_int, check_number
from .normalizer import HIGHEST_PIXEL, LOWEST_PIXEL

# Dimensions of (N, C, H, W) by the direction of a flip.
FLIPPED = dict(horizontal=[3], vertical=[2], diagonal=[2, 3])


class DeviceAugment(ABC):
    """Changes a batch of training images on the device that they are on.

    For one of your own, implement ``__call__`` and register it in ``mmrazor.registry.TASK_UTILS``.
    """

    @abstractmethod
    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment a batch.

        Args:
            images (Tensor): As the dataloader gives them, usually uint8 in [0, 255], (N, C, H, W).
                Not to be changed in place.
            generator (torch.Generator): Source of all random numbers, on the CPU, so that a seed
                gives the same images on every device.

        Returns:
            Tensor: Of the same dtype, (N, C, H', W').
        """


@TASK_UTILS.register_module()
class RandomCrop(DeviceAugment):
    """Crops each image of a batch at a place of its own, as MMPretrain's ``RandomCrop`` does.

    All places are equally likely. What is added around the image has the pixel value ``pad_val``
    before normalisation.

    Args:
        crop_size (int | Sequence[int]): Height and width of the crop in pixels, >= 1; one number
            for both. A padded image that is smaller is not cropped in that direction.
        padding (int | Sequence[int], optional): Pixels to add first, >= 0: on all sides, or left
            and right, top and bottom, or left, top, right, bottom. Defaults to None, 0.
        pad_val (int | Sequence[int]): Value of the added pixels in [0, 255], or one for each
            channel, in the order of the images from the dataloader. Defaults to 0. A single number
            is for all channels, where MMPretrain's is for the first alone.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a number is out of its range, or there are too many or too few.
    """

    def __init__(
        self,
        crop_size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_val: int | Sequence[int] = 0,
    ) -> None:
        sizes = read_numbers('crop_size', crop_size, counts=(1, 2))
        for size in sizes:
            check_int('crop_size', size, minimum=1)
        self.crop_size = sizes[0], sizes[-1]
        sides = read_numbers('padding', 0 if padding is None else padding, counts=(1, 2, 4))
        for side in sides:
            check_int('padding', side)
        # One or two of them repeat.
        self.padding = tuple(sides * (4 // len(sides)))
        self.pad_val = read_numbers('pad_val', pad_val)
        for value in self.pad_val:
            check_int('pad_val', value, minimum=LOWEST_PIXEL)
            if value > HIGHEST_PIXEL:
                raise ValueError(f'pad_val must be <= {HIGHEST_PIXEL}, not {value}')

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`DeviceAugment`."""
        images = self.pad(images)
        sizes = images.shape[-2:]
        crops = [min(crop, size) for crop, size in zip(self.crop_size, sizes, strict=True)]
        places = [
            torch.randint(size - crop + 1, (len(images),), generator=generator)
            for crop, size in zip(crops, sizes, strict=True)
        ]
        top, left = torch.stack(places).to(images.device, non_blocking=True)
        row = torch.arange(len(images), device=images.device)
        # A view of all crops that there are, (N, C, H places, W places, H', W').
        windows = images.unfold(2, crops[0], 1).unfold(3, crops[1], 1)
        return windows[row, :, top, left]

    def pad(self, images: Tensor) -> Tensor:
        """Add the padding."""
        left, top, right, bottom = self.padding
        if not any(self.padding):
            return images
        margin = (left, right, top, bottom)
        if len(set(self.pad_val)) == 1:
            return F.pad(images, margin, value=self.pad_val[0])
        channels = images.size(1)
        if len(self.pad_val) != channels:
            raise ValueError(
                f'data_preprocessor.device_augments: `pad_val` of RandomCrop has '
                f'{len(self.pad_val)} values, but the images have {channels} channels'
            )
        padded = zip(images.split(1, 1), self.pad_val, strict=True)
        return torch.cat([F.pad(channel, margin, value=value) for channel, value in padded], 1)


@TASK_UTILS.register_module()
class RandomFlip(DeviceAugment):
    """Flips each image of a batch with a probability, as ``RandomFlip`` of MMPretrain does.

    Args:
        prob (float): Probability of a flip, in [0, 1].
        direction (str): ``'horizontal'``, ``'vertical'`` or ``'diagonal'``, which is both at once.
            Defaults to ``'horizontal'``.

    Raises:
        TypeError: If ``prob`` is no number.
        ValueError: If ``prob`` is out of its range, or the direction is unknown.
    """

    def __init__(self, prob: float, direction: str = 'horizontal') -> None:
        check_number('prob', prob, minimum=0)
        if prob > 1:
            raise ValueError(f'prob must be <= 1, not {prob}')
        if not isinstance(direction, str) or direction not in FLIPPED:
            raise ValueError(f'direction must be one of {[*FLIPPED]}, not {direction!r}')
        self.prob, self.direction = prob, direction

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`DeviceAugment`."""
        is_flipped = torch.rand(len(images), generator=generator) < self.prob
        is_flipped = is_flipped.to(images.device, non_blocking=True)
        flipped = images.flip(FLIPPED[self.direction])
        return torch.where(is_flipped[:, None, None, None], flipped, images)


def read_numbers(key: str, value: object, counts: Sequence[int] | None = None) -> list:
    """A number or a sequence of some as a list.

    Raises:
        TypeError: If it is something else.
        ValueError: If there are none, or not as many as one of the ``counts``.
    """
    is_number = isinstance(value, Real)
    if not is_number and (isinstance(value, str) or not isinstance(value, Sequence)):
        raise TypeError(f'{key} must be a number or a list of numbers, not {value!r}')
    numbers = [value] if is_number else list(value)
    if not numbers or (counts is not None and len(numbers) not in counts):
        known = 'at least 1' if counts is None else ' or '.join(map(str, counts))
        raise ValueError(f'{key} must have {known} numbers, not {value!r}')
    return numbers
