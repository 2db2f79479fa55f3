"""Standardised logits against a plain loop, and within a distiller."""

import math

import pytest
import torch
from mmrazor.registry import MODELS

from amkd_mm.connectors import LogitStandardizationConnector


def by_hand(logits):
    rows = []
    for row in logits.tolist():
        mean = sum(row) / len(row)
        std = math.sqrt(sum((value - mean) ** 2 for value in row) / (len(row) - 1))
        rows.append([(value - mean) / std for value in row])
    return torch.tensor(rows)


def test_z_scores():
    logits = torch.randn(4, 7) * 5 + 3
    torch.testing.assert_close(LogitStandardizationConnector()(logits), by_hand(logits))


def test_scale_and_shift_of_either_network_do_not_matter():
    torch.manual_seed(0)
    connector, loss = (
        LogitStandardizationConnector(),
        MODELS.build(dict(type='mmrazor.KLDivergence')),
    )
    student, teacher = torch.randn(2, 6, 10)
    value = loss(connector(student), connector(teacher))
    other = loss(connector(3 * student + 1), connector(0.5 * teacher - 2))
    torch.testing.assert_close(other, value)
    plain = loss(student, teacher).item()
    assert loss(3 * student + 1, 0.5 * teacher - 2) != pytest.approx(plain, rel=0.1)
    # A student whose logits are those of the teacher but for scale and shift has nothing to learn.
    assert loss(connector(3 * teacher + 1), connector(teacher)) == pytest.approx(0, abs=1e-6)


def test_equal_logits_are_zeros_with_a_gradient():
    logits = torch.full((2, 5), 3.0, requires_grad=True)
    found = LogitStandardizationConnector()(logits)
    assert found.abs().max() == 0
    found.square().sum().backward()
    assert torch.isfinite(logits.grad).all()
