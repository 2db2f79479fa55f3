"""NSTLoss against plain loops."""

import math

import pytest
import torch

from amkd_mm.losses import NSTLoss


def mean_kernel(first, second):
    """Mean over pairs of channels of the squared product of their normalised activations."""
    total = 0.0
    for x in first:
        for y in second:
            product = sum(a * b for a, b in zip(x, y, strict=True))
            total += (product / math.hypot(*x) / math.hypot(*y)) ** 2
    return total / len(first) / len(second)


def by_hand(student, teacher):
    """Mean over images; of maps of one size."""
    found = []
    for s, t in zip(student, teacher, strict=True):
        s, t = s.flatten(1).tolist(), t.flatten(1).tolist()
        found.append(mean_kernel(t, t) + mean_kernel(s, s) - 2 * mean_kernel(s, t))
    return sum(found) / len(found)


def maps(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def averaged(feature):
    """Each place the mean of four."""
    rows = feature[:, :, ::2] + feature[:, :, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def test_discrepancy_of_channels():
    """Of another number of channels in student and teacher."""
    student, teacher = maps(3, 4, 2, 3), maps(3, 7, 2, 3, seed=1)
    loss = NSTLoss(loss_weight=0.7)(student, teacher)
    assert loss.item() == pytest.approx(0.7 * by_hand(student, teacher), rel=1e-12)
    assert NSTLoss()(student, teacher).item() == pytest.approx(50 * by_hand(student, teacher))


def test_the_larger_map_is_averaged():
    small, large = maps(3, 4, 2, 2), maps(3, 5, 4, 4, seed=1)
    for pair, expected in (
        ((small, large), by_hand(small, averaged(large))),
        ((large, small), by_hand(averaged(large), small)),
    ):
        assert NSTLoss(1.0)(*pair).item() == pytest.approx(expected, rel=1e-12)


def test_order_and_scale_of_channels_do_not_count():
    student = maps(2, 4, 3, 3)
    scales = torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None]
    assert NSTLoss()(student, scales * student.flip(1)).item() == pytest.approx(0, abs=1e-9)


def test_the_batch_does_not_count():
    student, teacher = maps(4, 3, 2, 2), maps(4, 3, 2, 2, seed=1)
    twice = NSTLoss()(student.repeat(2, 1, 1, 1), teacher.repeat(2, 1, 1, 1))
    assert twice.item() == pytest.approx(NSTLoss()(student, teacher).item())


def test_maps_of_zeros_and_a_batch_of_one():
    for rows in (1, 3):
        for student in (torch.zeros(rows, 4, 2, 2), maps(rows, 4, 2, 2).float()):
            student.requires_grad_()
            loss = NSTLoss()(student, torch.zeros(rows, 5, 2, 2))
            loss.backward()
            assert torch.isfinite(loss) and torch.isfinite(student.grad).all()


def test_only_the_student_is_changed_also_in_half_precision():
    student, teacher = (
        maps(2, 4, 3, 3, seed=seed).to(torch.bfloat16).requires_grad_() for seed in (0, 1)
    )
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = NSTLoss()(student, teacher)
    loss.backward()
    expected = 50 * by_hand(student.double().detach(), teacher.double().detach())
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(expected, rel=1e-4)
    assert student.grad.abs().sum() > 0 and teacher.grad is None


def test_what_is_no_map():
    with pytest.raises(ValueError, match=r'NSTLoss: s_feature .* \(N, C, H, W\), not \(3, 4\)'):
        NSTLoss()(maps(3, 4), maps(3, 4, 2, 2))
    with pytest.raises(ValueError, match='NSTLoss: t_feature'):
        NSTLoss()(maps(3, 4, 2, 2), maps(3, 4, 2))
