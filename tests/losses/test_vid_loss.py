"""VIDLoss against plain loops."""

import math

import pytest
import torch

from amkd_mm.losses import VIDLoss


def regress(loss, vector):
    """The regressor at one place of the map."""
    for number, layer in enumerate(loss.regressor[::2]):
        weight = layer.weight.detach()[:, :, 0, 0].tolist()
        vector = [sum(w * v for w, v in zip(row, vector, strict=True)) for row in weight]
        if number < 2:
            vector = [max(value, 0) for value in vector]
    return vector


def by_hand(loss, student, teacher):
    """Mean of the negative log-likelihoods, without half the logarithm of 2 pi."""
    variances = [math.log(1 + math.exp(alpha)) + 1e-5 for alpha in loss.alpha.tolist()]
    terms = []
    for s, t in zip(student, teacher, strict=True):
        for y in range(s.size(1)):
            for x in range(s.size(2)):
                means, targets = regress(loss, s[:, y, x].tolist()), t[:, y, x].tolist()
                for mean, target, variance in zip(means, targets, variances, strict=True):
                    terms.append((mean - target) ** 2 / variance / 2 + math.log(variance) / 2)
    return sum(terms) / len(terms)


def maps(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture
def loss():
    torch.manual_seed(0)
    loss = VIDLoss(3, 4, loss_weight=0.7).double()
    torch.nn.init.normal_(loss.alpha)
    return loss


def test_likelihood_of_the_teacher(loss):
    student, teacher = maps(2, 3, 3, 2), maps(2, 4, 3, 2, seed=1)
    found = loss(student, teacher).item()
    assert found == pytest.approx(0.7 * by_hand(loss, student, teacher), rel=1e-9)


def test_the_larger_map_is_averaged(loss):
    """Before the regressor."""
    large = maps(2, 3, 2, 4)
    small = (large[..., ::2] + large[..., 1::2]).mean(2, keepdim=True) / 2
    expected = by_hand(loss, small, maps(2, 4, 1, 2, seed=1))
    assert loss(large, maps(2, 4, 1, 2, seed=1)).item() == pytest.approx(0.7 * expected, rel=1e-9)
    teacher = maps(2, 4, 2, 4, seed=1)
    small_teacher = (teacher[..., ::2] + teacher[..., 1::2]).mean(2, keepdim=True) / 2
    expected = by_hand(loss, small, small_teacher)
    assert loss(small, teacher).item() == pytest.approx(0.7 * expected, rel=1e-9)


def test_the_variance_begins_as_given():
    loss = VIDLoss(3, 4).double()
    variance = (1 + loss.alpha.exp()).log() + 1e-5
    torch.testing.assert_close(variance, torch.full((4,), 5.0).double(), rtol=1e-6, atol=0)


def test_regressor_and_variance_are_trained(loss):
    """By the gradient of the formula: here that of alpha, by differences."""
    student, teacher = maps(2, 3, 2, 2), maps(2, 4, 2, 2, seed=1)
    teacher.requires_grad_()
    loss(student, teacher).backward()
    assert teacher.grad is None
    assert all(p.grad.abs().sum() > 0 for p in loss.parameters())
    step, found = 1e-5, loss.alpha.grad[1].item()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            loss.alpha[1] += sign * step
            values.append(0.7 * by_hand(loss, student, teacher.detach()))
            loss.alpha[1] -= sign * step
    assert found == pytest.approx((values[0] - values[1]) / 2 / step, rel=1e-6)


def test_maps_of_zeros_and_a_batch_of_one():
    loss = VIDLoss(3, 4)
    student = torch.zeros(1, 3, 2, 2, requires_grad=True)
    value = loss(student, torch.zeros(1, 4, 2, 2))
    value.backward()
    assert value.item() == pytest.approx(math.log(5) / 2, rel=1e-5)
    assert torch.isfinite(student.grad).all()


def test_half_precision():
    loss = VIDLoss(3, 4)
    student, teacher = (maps(2, c, 2, 2, seed=c).float() for c in (3, 4))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = loss(student.bfloat16(), teacher.bfloat16())
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(loss(student, teacher).item(), rel=0.01)


def test_maps_of_other_widths(loss):
    with pytest.raises(ValueError, match=r'student_channels .* \(N, 3, H, W\), not \(2, 5, 2, 2\)'):
        loss(maps(2, 5, 2, 2), maps(2, 4, 2, 2))
    with pytest.raises(ValueError, match='VIDLoss: teacher_channels'):
        loss(maps(2, 3, 2, 2), maps(2, 5, 2, 2))
