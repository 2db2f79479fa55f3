"""InputAdapter: what a teacher expects, made of what the student gets."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from ..data_preprocessors.normalizer import Normalizer
from .keys import SINGLE, TeacherKeys


class InputAdapter(nn.Module):
    """Maps images normalised for the student to images normalised, and sized, for the teacher.

    Differentiable, so that an attack on the teacher moves the student's images. Its constants live
    on the device of the model and are not saved with it. Padded pixels are mapped as all others
    are, so that the teacher's padding has another value than its own preprocessor would give it.

    Args:
        student (BaseDataPreprocessor): Made the images.
        teacher (BaseDataPreprocessor): Made those that the teacher was trained on.
        size (int | Sequence[int], optional): Height and width the teacher expects; one number for
            both. Bicubic, with antialiasing where images shrink. Defaults to None, that of the
            images.
        source (str, optional): What says so of the teacher, ``'config'`` or ``'checkpoint'``.
            Defaults to None, nothing.
        keys (TeacherKeys): Where the config has the teacher. Defaults to those of a single one.

    Attributes:
        wanted (BaseDataPreprocessor): ``teacher``.
        size (tuple[int, int] | None): Height and width.
        source (str | None): As given.
        renormalizes (bool): Whether means, standard deviations or the order of channels differ.

    Raises:
        ValueError: If the preprocessors pad differently, or the size is none.
    """

    def __init__(
        self,
        student: BaseDataPreprocessor,
        teacher: BaseDataPreprocessor,
        size: int | Sequence[int] | None = None,
        source: str | None = None,
        keys: TeacherKeys = SINGLE,
    ) -> None:
        super().__init__()
        self.wanted, self.source = teacher, source
        given, wanted = Normalizer(student), Normalizer(teacher)
        if given.divisor != wanted.divisor:
            raise ValueError(
                f'the student pads its images to multiples of {given.divisor} pixels and '
                f'{keys.title} to those of {wanted.divisor}: set `pad_size_divisor` of '
                f'`data_preprocessor` and of `{keys.settings}.data_preprocessor` to the same number'
            )
        self.swaps = given.swaps_channels != wanted.swaps_channels
        self.size = (size, size) if isinstance(size, int) else size and tuple(size)
        if self.size is not None and not (len(self.size) == 2 and min(self.size) > 0):
            raise ValueError(
                f'`{keys.input_size}` must be a number of pixels, or height and width, not {size}'
            )
        # (x s + m - m') / s' as x a + b; channels in the student's order.
        mean, std, new_mean, new_std = (
            values.detach().cpu().double().reshape(-1, 1, 1)
            for values in (given.mean, given.std, wanted.mean, wanted.std)
        )
        if self.swaps:
            new_mean, new_std = new_mean.flip(0), new_std.flip(0)
        scale, shift = std / new_std, (mean - new_mean) / new_std
        self.register_buffer('scale', scale.float(), persistent=False)
        self.register_buffer('shift', shift.float(), persistent=False)
        # Written as 0.485 or as 123.675 / 255, the same means differ in the last digits.
        same = bool(((scale - 1).abs() < 1e-3).all() and (shift.abs() < 1e-3).all())
        self.renormalizes = self.swaps or not same

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to the teacher's."""
        if self.renormalizes:
            images = images * self.scale + self.shift
            images = images.flip(1) if self.swaps and images.size(1) == 3 else images
        if self.size is not None and images.shape[-2:] != self.size:
            images = F.interpolate(images, self.size, mode='bicubic', antialias=True)
        return images

    def attach(self, teacher: nn.Module) -> None:
        """Let the teacher do this to all it gets, in every mode and at every call.

        Raises:
            ValueError: If it is not known which of the teacher's modules takes the images.
        """
        for name in ('backbone', 'model', 'image_encoder'):
            if isinstance(getattr(teacher, name, None), nn.Module):
                getattr(teacher, name).register_forward_pre_hook(self._before)
                return
        raise ValueError(
            f'{type(teacher).__name__} has no `backbone` whose inputs could be adapted: give it '
            "the student's `data_preprocessor` and image size"
        )

    # A method and not a closure, so that copies of the model use their own constants.
    def _before(self, module: nn.Module, args: tuple) -> tuple:
        images, *others = args
        return (self(images), *others)
