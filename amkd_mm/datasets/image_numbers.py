"""Which image of a training is which, whatever wraps its data sets.

MMEngine's data sets give ``sample_idx``, the place of an image in its own data set. What keeps a
state for each image needs a number that no two images share: 0 to N - 1 for the N images of the
training. An image that ``RepeatDataset`` repeats or ``ClassBalancedDataset`` oversamples keeps its
number; two parts of a ``ConcatDataset`` have different images. ``KFoldDataset`` and ``indices``
leave images out, and the others are numbered from 0.
"""

from typing import Any

from mmengine.dataset import BaseDataset

from .parts import parts_of


class NumberedFrom:
    """Stands in for ``get_data_info`` of a data set that is not the first of a ``ConcatDataset``.

    It is kept with the data set, so that worker processes have it however they are started, and a
    change of the pipeline leaves it.

    Args:
        dataset (BaseDataset): The data set.
        first (int): The number of its first image.
    """

    def __init__(self, dataset: BaseDataset, first: int) -> None:
        self.dataset = dataset
        self.first = first

    def __call__(self, idx: int) -> dict:
        """The data set's own information, with the number of the image as ``sample_idx``."""
        info = type(self.dataset).get_data_info(self.dataset, idx)
        if 'sample_idx' in info:
            info['sample_idx'] += self.first
        return info


def distinct_parts(dataset: Any) -> list[Any]:
    """The data sets that hold the images, below all wrappers, each once."""
    return list({id(part): part for _, part in parts_of(dataset)}.values())


def number_images(dataset: Any) -> None:
    """Number the images of all parts in turn; another call begins anew."""
    first = 0
    for part in distinct_parts(dataset):
        if isinstance(part, BaseDataset):
            part.__dict__.pop('get_data_info', None)
            if first:
                part.get_data_info = NumberedFrom(part, first)
        first += len(part)


def count_images(dataset: Any) -> int:
    """How many different images a data set has.

    Raises:
        TypeError: If there are several parts, and some are no ``BaseDataset`` of MMEngine, or were
            put together by something else than MMEngine's ``ConcatDataset``.
    """
    first = 0
    for part in distinct_parts(dataset):
        info = getattr(part, '__dict__', {}).get('get_data_info')
        if first and getattr(info, 'first', 0) != first:
            raise TypeError(
                f'images of {type(part).__name__} cannot be told from those of the data sets '
                "before it: put them together by dict(type='ConcatDataset', datasets=[...]) of "
                'MMEngine, each a `BaseDataset`'
            )
        first += len(part)
    return first
