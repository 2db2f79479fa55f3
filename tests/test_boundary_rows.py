"""The marks that hook and algorithm agree on."""

import pytest
import torch
from mmengine.structures import BaseDataElement
from mmpretrain.structures import DataSample

from amkd_mm.boundary_rows import is_boundary, mark, split


def batch(marks):
    """A batch whose marked samples are boundary samples."""
    samples = [DataSample(metainfo=dict(sample_idx=i)).set_gt_label(i) for i in range(len(marks))]
    for i, marked in enumerate(marks):
        if marked:
            mark(samples[i], target=i + 10)
    return torch.arange(len(marks) * 12.0).view(-1, 3, 2, 2), samples


@pytest.mark.parametrize('kind', [DataSample, BaseDataElement])
def test_mark(kind):
    sample = kind(metainfo=dict(img_path='a.png'))
    assert not is_boundary(sample)
    assert mark(sample, 3) is sample
    assert is_boundary(sample)
    assert sample.metainfo == dict(img_path='a.png', is_boundary=True, boundary_target=3)


def test_marks_survive_what_happens_to_samples():
    sample = mark(DataSample().set_gt_label(1), 3)
    for copy in (sample.clone(), sample.to('cpu'), sample.cpu(), sample.detach()):
        assert is_boundary(copy) and copy.boundary_target == 3
    # A copy has marks of its own.
    plain = DataSample()
    mark(plain.clone(), 3)
    assert not is_boundary(plain)


@pytest.mark.parametrize(
    ('marks', 'num_clean'),
    [([0, 0, 1, 1, 1], 2), ([0, 0, 0], 3), ([1, 1], 0), ([0, 1], 1), ([0], 1), ([], 0)],
)
def test_split(marks, num_clean):
    inputs, samples = batch(marks)
    (clean, clean_samples), (boundary, boundary_samples) = split(inputs, samples)
    assert torch.equal(clean, inputs[:num_clean]) and torch.equal(boundary, inputs[num_clean:])
    assert [sample.sample_idx for sample in clean_samples] == list(range(num_clean))
    assert [sample.sample_idx for sample in boundary_samples] == list(range(num_clean, len(marks)))
    assert all(found is sample for found, sample in zip(clean_samples, samples, strict=False))


def test_split_does_not_copy():
    inputs, samples = batch([0, 0, 1])
    (clean, _), (boundary, _) = split(inputs, samples)
    clean[0], boundary[0] = -1, -2
    assert (inputs[0] == -1).all() and (inputs[2] == -2).all() and (inputs[1] >= 0).all()


@pytest.mark.parametrize('samples', [None, []])
def test_without_samples_all_rows_are_clean(samples):
    inputs, _ = batch([0, 0])
    (clean, clean_samples), (boundary, boundary_samples) = split(inputs, samples)
    assert torch.equal(clean, inputs) and len(boundary) == 0
    assert clean_samples == boundary_samples == []


def test_rows_of_several_hooks():
    inputs, samples = batch([0] * 6)
    for index, group in ((3, 1), (4, 3), (5, 3)):
        mark(samples[index], -1, group)
    parts = split(inputs, samples, num_groups=4)
    assert [len(part) for part, _ in parts] == [3, 1, 0, 2, 0]
    assert torch.equal(parts[3][0], inputs[4:]) and parts[3][1] == samples[4:]
    with pytest.raises(ValueError, match='hook 3 of 2'):
        split(inputs, samples, num_groups=2)
    mark(samples[5], -1, 2)
    with pytest.raises(ValueError, match='in the order of hooks'):
        split(inputs, samples, num_groups=4)


@pytest.mark.parametrize('marks', [[1, 0], [0, 1, 0], [0, 1, 1, 0, 1]])
def test_clean_rows_behind_boundary_rows_are_refused(marks):
    with pytest.raises(ValueError, match='must be the last rows'):
        split(*batch(marks))
