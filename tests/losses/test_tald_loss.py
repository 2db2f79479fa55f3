"""TALDLoss against a plain loop."""

import math

import pytest
import torch

from amkd_mm.losses import TALDLoss


def cross_entropy(row, label):
    return math.log(sum(math.exp(value) for value in row)) - row[label]


def test_squared_difference_of_the_losses():
    student, teacher = torch.randn(2, 5, 4).double()
    labels = [0, 3, 1, 1, 2]
    rows = zip(student.tolist(), teacher.tolist(), labels, strict=True)
    expected = [(cross_entropy(s, y) - cross_entropy(t, y)) ** 2 for s, t, y in rows]
    loss = TALDLoss(loss_weight=0.05)(student, teacher, torch.tensor(labels))
    assert loss.item() == pytest.approx(0.05 * sum(expected) / 5, rel=1e-5)
    assert TALDLoss()(teacher, teacher, torch.tensor(labels)) == 0


def test_only_the_student_is_changed():
    student, teacher = torch.randn(2, 5, 4)
    student.requires_grad_(), teacher.requires_grad_()
    TALDLoss()(student, teacher, torch.zeros(5, dtype=torch.int64)).backward()
    assert teacher.grad is None and student.grad.abs().sum() > 0
