"""The data sets that a data set is put together from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

# What a data set may keep its images in, by the name that wrappers have for what they wrap.
CONTAINERS = (str, bytes, Mapping, Sequence, Tensor, np.ndarray)


def parts_of(dataset: Any, place: str = 'dataset') -> Iterator[tuple[str, Any]]:
    """The data sets that hold the images, below all wrappers.

    A wrapper is what has its data set as ``dataset`` or several as ``datasets``: those of MMEngine,
    ``KFoldDataset``, or ``torch.utils.data.Subset``.

    Args:
        dataset (Any): The data set.
        place (str): Its config key. Defaults to ``'dataset'``.

    Yields:
        tuple[str, Any]: Config key and data set of each part; what is part twice comes twice.
    """
    several, one = getattr(dataset, 'datasets', None), getattr(dataset, 'dataset', None)
    if isinstance(several, (list, tuple)) and several and all(map(is_dataset, several)):
        for index, part in enumerate(several):
            yield from parts_of(part, f'{place}.datasets.{index}')
    elif is_dataset(one):
        yield from parts_of(one, f'{place}.dataset')
    else:
        yield place, dataset


def is_dataset(value: Any) -> bool:
    """Whether something gives items by number and is no plain container."""
    gives_items = hasattr(value, '__getitem__') and hasattr(value, '__len__')
    return gives_items and not isinstance(value, CONTAINERS)
