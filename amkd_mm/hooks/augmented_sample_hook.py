"""AugmentedSampleHook: lets AMKD distil on augmented copies of the images."""

from typing import Any

from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from mmrazor.registry import HOOKS

from ..config.argument_checks import check_kind
from ..samplers import AugmentedSampler
from .sample_hook import SampleHook, check_num_samples


@HOOKS.register_module()
class AugmentedSampleHook(SampleHook):
    """Lets ``AMKD`` distil on strongly augmented copies of the images.

    If every image has one, row i of a recorder's ``record_idx=1`` is a copy of row i of
    ``record_idx=0``, which losses of pairs such as ``CCDLoss`` read. Logs ``augmented/samples``,
    ``augmented/share`` (of the batch) and ``augmented/seconds``.

    Args:
        transforms (list[dict]): Configs of MMPretrain's transforms that change ``img``, such as
            ``[dict(type='RandAugment', ...)]``. They must keep the size of the images.
        num_samples (int | float): Of how many images of a batch, drawn at random; a float is a
            share. Defaults to 1.0, all of them.
        **kwargs: As ``SampleHook``.

    Raises:
        ValueError: If a transform changes the size of an image, ``num_samples`` is out of range, or
            as ``SampleHook``.
        TypeError: As ``SampleHook``.
    """

    prefix = 'augmented'

    def __init__(
        self, transforms: list[dict], num_samples: int | float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_num_samples(self.name, num_samples)
        example = "[dict(type='RandomFlip', prob=0.5)]"
        check_kind(f'{self.name}: transforms', transforms, (list, tuple), example)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            self.sampler = AugmentedSampler(Compose(transforms), num_samples)
