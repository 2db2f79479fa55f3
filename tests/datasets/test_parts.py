"""What counts as a wrapper of data sets, and what as a data set of its own."""

import pytest
import torch
from mmengine.dataset import RepeatDataset
from torch.utils.data import Dataset, Subset

from amkd_mm.datasets import Digits
from amkd_mm.datasets.class_numbers import class_numbers
from amkd_mm.datasets.parts import parts_of


class Own(Dataset):
    """A data set of a user's, which may call what it holds as wrappers do."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return index


@pytest.mark.parametrize(
    'attributes',
    [
        dict(dataset=['a.png', 'b.png']),
        dict(dataset='flowers'),
        dict(dataset={'a.png': 0}),
        dict(dataset=torch.zeros(2, 3)),
        dict(dataset=None),
        dict(datasets={'a': 1}),
        dict(datasets=['a', 'b']),
        dict(datasets=[]),
    ],
)
def test_a_data_set_that_holds_something_called_as_wrappers_call_it(attributes):
    own = Own(**attributes)
    assert list(parts_of(own, 'key')) == [('key', own)]
    (numbers,) = class_numbers(own, 'key')
    assert (numbers.classes, numbers.folders) == ({}, {})


def test_wrappers_within_wrappers():
    first, second = (Digits(split=split, pipeline=[]) for split in ('train', 'test'))
    wrapped = RepeatDataset(dict(type='ConcatDataset', datasets=[first, second]), 2)
    assert list(parts_of(Subset(wrapped, [0]), 'key')) == [
        ('key.dataset.dataset.datasets.0', first),
        ('key.dataset.dataset.datasets.1', second),
    ]
