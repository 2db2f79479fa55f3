from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS, TRANSFORMS

LOADER = 'LoadImageFromFile'


@DATASETS.register_module()
class InMemoryCustomDataset(CustomDataset):
    """``CustomDataset`` of MMPretrain that reads and decodes each file once, before the training.

    The images are the same, bit for bit: ``LoadImageFromFile``, the first entry of ``pipeline``,
    is done at the beginning instead of in each epoch. For small images, whose decoding takes about
    half of the time of the dataloader: an image takes height x width x channels bytes. Worker
    processes share the memory where they are forked, as they are on Linux; each process of a
    distributed training has its own. All files are read, also with ``indices``.

    A config may keep its pipeline and change the ``type`` alone.

    Args:
        *args: See ``CustomDataset``.
        pipeline (Sequence[dict]): Transforms, the first a ``LoadImageFromFile``.
        **kwargs: See ``CustomDataset``.

    Raises:
        ValueError: If the first transform is another one, or there is none.
    """

    def __init__(self, *args, pipeline: Sequence[dict] = (), **kwargs) -> None:
        first = pipeline[0].get('type') if pipeline else None
        name = getattr(first, '__name__', str(first))
        if name.rpartition('.')[2] != LOADER:
            raise ValueError(
                f"InMemoryCustomDataset: `pipeline` must begin with dict(type='{LOADER}'), by "
                f'which all files are read, not with {first!r}'
            )
        self._read = TRANSFORMS.build(pipeline[0])
        super().__init__(*args, pipeline=pipeline[1:], **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the files, and read them: ``img`` is uint8 (H, W, C) by default."""
        read = map(self._read, super().load_data_list())
        # With its `ignore_empty`, the transform gives None for a file that it cannot read.
        return [sample for sample in read if sample is not None]
