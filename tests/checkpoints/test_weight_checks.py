"""Weights that are refused, as a teacher's checkpoint too."""

import pytest
import torch
from torch import nn

from amkd_mm.teachers.checkpoint import load_teacher


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def change(key, value):
    weights = {name: tensor.clone() for name, tensor in network().state_dict().items()}
    weights[key] = value(weights[key])
    return weights


def with_one(number):
    def put(tensor):
        tensor.view(-1)[1] = number
        return tensor

    return put


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('0.weight', with_one(float('nan')), "'0.weight' has 1 values of 12 that are NaN"),
        ('0.bias', with_one(float('-inf')), "'0.bias' has 1 values of 4 that are NaN or infinite"),
        ('1.running_mean', with_one(float('inf')), "'1.running_mean' has 1 values of 4"),
        ('1.running_var', with_one(-0.1), "'1.running_var' is a variance, and has negative"),
        ('0.weight', torch.Tensor.bool, "'0.weight' is of type torch.bool, and the network has"),
        ('0.weight', torch.Tensor.int, "'0.weight' is of type torch.int32"),
        ('0.weight', torch.Tensor.char, "'0.weight' is of type torch.int8"),
    ],
)
def test_refused(key, value, message, tmp_path):
    path = str(tmp_path / 'teacher.pth')
    torch.save(dict(state_dict=change(key, value)), path)
    with pytest.raises(ValueError, match='train it again') as caught:
        load_teacher(network(), path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f'model.teacher_ckpt: {path!r}: ')


@pytest.mark.parametrize('value', [torch.Tensor.half, torch.Tensor.double, torch.zeros_like])
def test_taken(value, tmp_path):
    """Half precision, and a network that is all zeros; counters are integers in any."""
    path = str(tmp_path / 'teacher.pth')
    torch.save(dict(state_dict=change('0.weight', value)), path)
    load_teacher(network(), path)
