"""AugmentedSampleHook: appends augmented copies of the images."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from mmrazor.registry import HOOKS
from torch import Tensor

from ..argument_checks import check_kind
from ..pixel_space import PixelSpace
from .sample_hook import SampleHook, Samples


@HOOKS.register_module()
class AugmentedSampleHook(SampleHook):
    """Appends a strongly augmented copy of every image of the batch, in the batch's order.

    Row i of a recorder's ``record_idx=1`` is then a copy of row i of ``record_idx=0``, which losses
    of pairs can read. Logs ``augmented/samples``, ``augmented/share`` (of the batch) and
    ``augmented/seconds``.

    Args:
        transforms (list[dict]): Configs of MMPretrain's transforms that change ``img``, such as
            ``[dict(type='RandAugment', ...)]``. They must keep the size of the images.
        **kwargs: As ``SampleHook``.

    Raises:
        ValueError: If a transform changes the size of an image, or as ``SampleHook``.
        TypeError: As ``SampleHook``.
    """

    prefix = 'augmented'

    def __init__(self, transforms: list[dict], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        example = "[dict(type='RandomFlip', prob=0.5)]"
        check_kind(f'{self.name}: transforms', transforms, (list, tuple), example)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            self.transforms = Compose(transforms)

    def make(
        self,
        space: PixelSpace,
        pixels: Tensor,
        inputs: Tensor,
        labels: Tensor,
        generator: torch.Generator,
    ) -> Samples:
        """See :class:`SampleHook`."""
        images = pixels.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        with seeded(int(torch.randint(2**31, (1,), generator=generator))):
            results = [self.transforms(dict(img=image.copy()))['img'] for image in images]
        # OpenCV drops the channel of a gray image.
        results = [result.reshape(*result.shape[:2], -1) for result in results]
        for result in results:
            if result.shape != images.shape[1:]:
                raise ValueError(
                    f'AugmentedSampleHook: an image of shape {images.shape[1:]} became '
                    f'{result.shape}: leave out what changes its size from `transforms`'
                )
        augmented = torch.from_numpy(np.stack(results)).permute(0, 3, 1, 2)
        return Samples(augmented.to(inputs), range(len(labels)), [-1] * len(labels), {})


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let all random numbers on the CPU follow from a seed, and go on as before after."""
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
