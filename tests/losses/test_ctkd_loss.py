"""CTKDLoss against plain loops, and what its temperature learns."""

import math

import pytest
import torch
from torch import optim

from amkd_mm.losses import CTKDLoss


def softmax(row, tau):
    powers = [math.exp(value / tau) for value in row]
    return [power / sum(powers) for power in powers]


def by_hand(student, teacher, theta, tau_init=1.0, tau_range=20.0):
    """Mean divergence at the temperature of theta, times its square."""
    tau = tau_init + tau_range / (1 + math.exp(-theta))
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        q, p = softmax(s, tau), softmax(t, tau)
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return tau**2 * total / len(student)


def logits(rows=4, seed=0):
    return 3 * torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed)).double()


def slope(student, teacher, theta, step=1e-5):
    return (by_hand(student, teacher, theta + step) - by_hand(student, teacher, theta - step)) / (
        2 * step
    )


@pytest.mark.parametrize('theta', [1.0, -2.0])
def test_divergence_at_the_learned_temperature(theta):
    student, teacher = logits(), logits(seed=1)
    loss = CTKDLoss(loss_weight=0.7).double()
    assert loss.theta.item() == 1
    torch.nn.init.constant_(loss.theta, theta)
    value = loss(student, teacher)
    assert value.shape == ()
    assert value.item() == pytest.approx(0.7 * by_hand(student, teacher, theta), rel=1e-9)
    other = CTKDLoss(tau_init=2.0, tau_range=3.0).double()
    expected = by_hand(student, teacher, 1.0, 2.0, 3.0)
    assert other(student, teacher).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize('reversal', [1.0, 0.25, 0.0])
def test_the_gradient_of_the_temperature_is_reversed(reversal):
    student, teacher = logits(), logits(seed=1)
    loss = CTKDLoss(reversal=reversal, loss_weight=0.7).double()
    loss(student, teacher).backward()
    expected = -0.7 * reversal * slope(student, teacher, 1.0)
    assert loss.theta.grad.item() == pytest.approx(expected, rel=1e-6)
    assert abs(slope(student, teacher, 1.0)) > 0.01


def test_the_student_learns_as_before():
    student, teacher = logits().requires_grad_(), logits(seed=1).requires_grad_()
    CTKDLoss(reversal=0.5).double()(student, teacher).backward()
    assert teacher.grad is None
    step = torch.zeros_like(student)
    step[1, 2] = 1e-5
    values = [by_hand(student + sign * step, teacher, 1.0) for sign in (1, -1)]
    assert student.grad[1, 2].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_a_step_of_the_temperature_makes_the_loss_larger():
    student, teacher = logits(), logits(seed=1)
    loss = CTKDLoss().double()
    optimizer = optim.SGD(loss.parameters(), lr=0.1)
    values = []
    for _ in range(3):
        optimizer.zero_grad()
        values.append(loss(student, teacher))
        values[-1].backward()
        optimizer.step()
    assert values[0] < values[1] < values[2]


def test_sure_teachers_equal_logits_and_a_batch_of_one():
    loss = CTKDLoss()
    for student, teacher in (
        (torch.zeros(1, 6), torch.zeros(1, 6)),
        (torch.zeros(2, 6), torch.eye(6)[:2] * 1e5),
    ):
        student.requires_grad_()
        loss.theta.grad = None
        value = loss(student, teacher)
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(student.grad).all()
        assert torch.isfinite(loss.theta.grad).all()


def test_half_precision():
    student, teacher = logits().bfloat16(), logits(seed=1).bfloat16()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = CTKDLoss()(student, teacher)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(by_hand(student, teacher, 1.0), rel=1e-4)
