"""HashHead: its codes, their gradient, and what it learns from."""

import math

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from amkd_mm.losses import CIBHashLoss
from amkd_mm.retrievers import HashHead


def test_codes_are_signs_of_the_layer():
    head = MODELS.build(dict(type='HashHead', num_bits=16, in_channels=4))
    feats = torch.randn(6, 4, generator=torch.manual_seed(0))
    codes = head((None, feats))
    for row, code in zip(feats @ head.fc.weight.t() + head.fc.bias, codes, strict=True):
        assert code.tolist() == [1 if value > 0 else -1 for value in row]


def test_gradient_is_that_of_the_sigmoid():
    head = HashHead(num_bits=3, in_channels=3)
    logits = torch.tensor([[-2.0, 0.0, 0.7], [30.0, -0.1, 1.5]], requires_grad=True)
    given = torch.tensor([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])
    codes = head.hash(logits)
    assert codes.tolist() == [[-1, 1, 1], [1, -1, 1]]
    codes.backward(given)
    for value, factor, found in zip(
        logits.flatten().tolist(),
        given.flatten().tolist(),
        logits.grad.flatten().tolist(),
        strict=True,
    ):
        one = 1 / (1 + math.exp(-value))
        assert found == pytest.approx(factor * one * (1 - one), rel=1e-4, abs=1e-6)


def test_every_bit_is_exactly_one():
    logits = torch.randn(100, 100, generator=torch.manual_seed(0)) * 3
    assert set(HashHead(1, 1).hash(logits).flatten().tolist()) == {-1.0, 1.0}


def test_hidden_layer():
    head = HashHead(num_bits=8, in_channels=4, hidden_channels=5)
    feats = torch.randn(6, 4, generator=torch.manual_seed(0))
    first, last = [layer for layer in head.fc if isinstance(layer, nn.Linear)]
    expected = last(first(feats).clamp(min=0))
    assert last.out_features == 8 and torch.equal(head(feats), expected.sign())


def test_learns_from_codes_and_logits():
    head = HashHead(8, 4, loss=dict(type='CIBHashLoss', temperature=0.2, kl_weight=0.5))
    feats = torch.randn(6, 4, generator=torch.manual_seed(0))
    found = head.loss((feats,), [DataSample()] * 3)
    logits = head.fc(feats)
    expected = CIBHashLoss(temperature=0.2, kl_weight=0.5)(logits.sign(), logits)
    assert found.keys() == expected.keys() == {'loss_contrast', 'loss_kl'}
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_images_without_a_second_view():
    with pytest.raises(ValueError, match='3 views of 3 images.*MultiView'):
        HashHead(8, 4).loss(torch.zeros(3, 4), [DataSample()] * 3)


@pytest.mark.parametrize('setting', ['num_bits', 'in_channels', 'hidden_channels'])
def test_widths_below_one(setting):
    settings = dict(num_bits=8, in_channels=4, hidden_channels=4)
    with pytest.raises(ValueError, match=f'{setting} must be >= 1'):
        HashHead(**{**settings, setting: 0})
