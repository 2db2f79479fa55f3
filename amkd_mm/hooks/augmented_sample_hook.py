"""AugmentedSampleHook: lets AMKD distil on augmented copies of the images."""

from typing import Any

from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from mmrazor.registry import HOOKS

from ..config.argument_checks import check_kind
from ..samplers import AugmentedSampler
from .sample_hook import SampleHook


@HOOKS.register_module()
class AugmentedSampleHook(SampleHook):
    """Lets ``AMKD`` distil on a strongly augmented copy of every image, in the batch's order.

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
            self.sampler = AugmentedSampler(Compose(transforms))
