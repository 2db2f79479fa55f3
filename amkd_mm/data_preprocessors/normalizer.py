"""The way from dataloader images to network inputs, and back."""

from functools import cached_property

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

# MMPretrain's pipelines deliver 8-bit images.
LOWEST_PIXEL, HIGHEST_PIXEL = 0, 255


class Normalizer:
    """Inverts the normalisation of a data preprocessor.

    The preprocessor only knows one direction, and does not say what a valid input is. Padding is
    kept apart: it belongs to the network, not to the sample.

    Args:
        preprocessor (BaseDataPreprocessor): ``ClsDataPreprocessor`` of MMPretrain,
            ``ImgDataPreprocessor`` of MMEngine, or another one that does the same.
    """

    def __init__(self, preprocessor: BaseDataPreprocessor) -> None:
        self.preprocessor = preprocessor
        self.swaps_channels = getattr(
            preprocessor, 'to_rgb', getattr(preprocessor, '_channel_conversion', False)
        )
        if getattr(preprocessor, '_enable_normalize', False):
            self.mean, self.std = preprocessor.mean, preprocessor.std
        else:
            device = preprocessor.device
            self.mean, self.std = torch.zeros(1, device=device), torch.ones(1, device=device)
        self.divisor = getattr(preprocessor, 'pad_size_divisor', 1)

    def swap(self, images: Tensor) -> Tensor:
        """BGR to RGB and back, where the preprocessor does it."""
        return images.flip(1) if self.swaps_channels and images.size(1) == 3 else images

    def normalize(self, pixels: Tensor) -> Tensor:
        """Images in [0, 255] of any dtype, (N, C, H, W), to normalised float32 inputs."""
        return (self.swap(pixels).float() - self.mean) / self.std

    def denormalize(self, inputs: Tensor) -> Tensor:
        """Normalised inputs to float images within [0, 255], as the dataloader orders them."""
        pixels = self.swap(inputs.float() * self.std + self.mean)
        return pixels.clamp(LOWEST_PIXEL, HIGHEST_PIXEL)

    def pad(self, inputs: Tensor) -> Tensor:
        """Pad right and bottom to the preprocessor's ``pad_size_divisor``; differentiable."""
        height, width = inputs.shape[-2:]
        margin = (0, -width % self.divisor, 0, -height % self.divisor)
        if not any(margin):
            return inputs
        return F.pad(inputs, margin, value=float(self.preprocessor.pad_value))

    @staticmethod
    def crop(inputs: Tensor, size: tuple[int, int]) -> Tensor:
        """Inputs without the padding of images that are ``size`` (height, width) large."""
        height, width = size
        return inputs[..., :height, :width]

    @cached_property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest normalised input of a valid image, per channel."""
        return (LOWEST_PIXEL - self.mean) / self.std, (HIGHEST_PIXEL - self.mean) / self.std

    def length(self, share: float) -> Tensor:
        """A length in units of the range of pixels, in those of normalised inputs per channel."""
        return share * (HIGHEST_PIXEL - LOWEST_PIXEL) / self.std

    def check(self, pixels: Tensor) -> None:
        """Compare with the preprocessor itself.

        Args:
            pixels (Tensor): Images of a training batch, (N, C, H, W).

        Raises:
            ValueError: If a pixel is NaN or infinite.
            TypeError: If the images are not in [0, 255], or the preprocessor does something else
                than normalise, swap and pad.
        """
        if not torch.isfinite(pixels).all():
            raise ValueError('images from the dataloader have pixels that are NaN or infinite')
        lowest, highest = pixels.min().item(), pixels.max().item()
        is_scaled = pixels.is_floating_point() and highest <= 1
        if lowest < LOWEST_PIXEL or highest > HIGHEST_PIXEL or is_scaled:
            raise TypeError(
                'boundary samples need images in [0, 255] from the dataloader, but got '
                f'[{lowest:g}, {highest:g}]: leave normalisation and scaling to the '
                '`data_preprocessor`'
            )
        expected = self.preprocessor(dict(inputs=pixels), False)['inputs']
        normalized = self.normalize(pixels)
        found = self.pad(normalized)
        if (
            # A mean of three channels makes three of one.
            normalized.shape != pixels.shape
            or expected.shape != found.shape
            or expected.dtype != found.dtype
            or not torch.allclose(expected, found, atol=1e-4)
        ):
            raise TypeError(
                'boundary samples need a `data_preprocessor` that only normalises, swaps channels '
                "and pads, such as dict(type='mmpretrain.ClsDataPreprocessor', ...), but got "
                f'{type(self.preprocessor).__name__}'
            )
