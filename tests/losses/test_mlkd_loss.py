"""MLKDLoss against plain loops."""

import math

import pytest
import torch

from amkd_mm.losses import MLKDLoss


def softmax(row, tau):
    powers = [math.exp(value / tau) for value in row]
    return [power / sum(powers) for power in powers]


def products(rows):
    """Of each two rows."""
    return [[sum(a * b for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]


def distance(first, second):
    """The mean over rows of the squared differences, summed along a row."""
    pairs = (zip(x, y, strict=True) for x, y in zip(first, second, strict=True))
    return sum((a - b) ** 2 for pair in pairs for a, b in pair) / len(first)


def by_hand(student, teacher, tau):
    """The three levels at one temperature."""
    q, p = ([softmax(row, tau) for row in side.tolist()] for side in (student, teacher))
    divergences = [
        sum(a * math.log(a / b) for a, b in zip(x, y, strict=True))
        for x, y in zip(p, q, strict=True)
    ]
    classes_q, classes_p = ([list(column) for column in zip(*side, strict=True)] for side in (q, p))
    return (
        tau**2 * sum(divergences) / len(divergences),
        distance(products(q), products(p)),
        distance(products(classes_q), products(classes_p)),
    )


def logits(rows=5, seed=0):
    return 3 * torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed)).double()


def test_levels_and_temperatures():
    student, teacher = logits(), logits(seed=1)
    weights = dict(instance_weight=0.5, batch_weight=2.0, class_weight=3.0)
    expected = sum(
        weight * level
        for tau in (1.5, 4)
        for weight, level in zip(weights.values(), by_hand(student, teacher, tau), strict=True)
    )
    loss = MLKDLoss(taus=[1.5, 4], loss_weight=0.7, **weights)(student, teacher)
    assert loss.item() == pytest.approx(0.7 * expected, rel=1e-9)
    expected = sum(sum(by_hand(student, teacher, tau)) for tau in (2, 3, 4, 5, 6))
    assert MLKDLoss()(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_how_the_levels_change_with_the_batch():
    """As published: divergences not, relations of images as N, those of classes as N^2."""
    student, teacher = logits(), logits(seed=1)
    for number, factor in enumerate((1, 2, 4)):
        level = ('instance_weight', 'batch_weight', 'class_weight')[number]
        nothing = dict(instance_weight=0, batch_weight=0, class_weight=0)
        loss = MLKDLoss(**{**nothing, level: 1})
        twice = loss(student.repeat(2, 1), teacher.repeat(2, 1))
        assert twice.item() == pytest.approx(factor * loss(student, teacher).item())


def test_sure_networks_equal_logits_and_a_batch_of_one():
    for student, teacher in (
        (torch.zeros(1, 4), torch.zeros(1, 4)),
        (torch.zeros(2, 4), torch.eye(4)[:2] * 1e5),
        (torch.eye(4)[:2] * 1e5, torch.eye(4)[1:3] * 1e5),
    ):
        student = student.clone().requires_grad_()
        loss = MLKDLoss()(student, teacher)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(student.grad).all()
    assert MLKDLoss()(logits(1), logits(1)).item() == 0


def test_only_the_student_is_changed_also_in_half_precision():
    student, teacher = (logits(seed=seed).bfloat16().requires_grad_() for seed in (0, 1))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = MLKDLoss(taus=[4])(student, teacher)
    loss.backward()
    expected = sum(by_hand(student.double().detach(), teacher.double().detach(), 4))
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(expected, rel=1e-4)
    assert student.grad.abs().sum() > 0 and teacher.grad is None
