"""TripletKDLoss against plain loops."""

import pytest
import torch

from amkd_mm.losses import TripletKDLoss
from amkd_mm.losses.triplet_kd_loss import draw_of_each


def by_hand(student, teacher, negatives, margin, weight):
    total = 0.0
    for i, j in enumerate(negatives):
        positive = sum((t - s) ** 2 for t, s in zip(teacher[i], student[i], strict=True)) ** 0.5
        negative = sum((t - s) ** 2 for t, s in zip(teacher[i], student[j], strict=True)) ** 0.5
        total += max(0.0, positive - negative + margin)
    return weight * total / len(negatives)


def test_published_settings_with_one_possible_negative():
    student, teacher = torch.randn(2, 2, 5).double().tolist()
    expected = by_hand(student, teacher, [1, 0], margin=5.0, weight=2.0)
    loss = TripletKDLoss()(torch.tensor(student), torch.tensor(teacher), torch.tensor([3, 1]))
    assert loss.item() == pytest.approx(expected, rel=1e-5) and expected > 0


def test_negatives_are_random_images_of_another_class():
    torch.manual_seed(0)
    labels = torch.tensor([0, 0, 1, 2])
    # Every pair of rows has a distance of its own.
    student = torch.tensor([[0.0], [10.0], [100.0], [1000.0]])
    teacher = torch.zeros(4, 1)
    loss = TripletKDLoss(margin=2000.0, loss_weight=1.0)
    possible = [[2, 3], [2, 3], [0, 1, 3], [0, 1, 2]]
    every = {
        by_hand(student.tolist(), teacher.tolist(), [a, b, c, d], 2000.0, 1.0)
        for a in possible[0]
        for b in possible[1]
        for c in possible[2]
        for d in possible[3]
    }
    found = {loss(student, teacher, labels).item() for _ in range(300)}
    assert all(any(value == pytest.approx(other) for other in every) for value in found)
    # Of 36 ways to draw.
    assert len(found) > 10


def test_no_other_class():
    student = torch.randn(3, 4, requires_grad=True)
    loss = TripletKDLoss()(student, torch.randn(3, 4), torch.zeros(3, dtype=torch.int64))
    loss.backward()
    assert loss == 0 and student.grad.abs().sum() == 0


def test_only_the_student_is_changed_also_where_both_agree():
    teacher = torch.randn(4, 6, requires_grad=True)
    student = teacher.detach().clone().requires_grad_()
    TripletKDLoss(margin=100.0)(student, teacher, torch.tensor([0, 1, 2, 3])).backward()
    assert teacher.grad is None
    assert torch.isfinite(student.grad).all() and student.grad.abs().sum() > 0


def test_margin_below_zero():
    with pytest.raises(ValueError, match='margin must be >= 0, not -1'):
        TripletKDLoss(margin=-1)


def test_draws_as_multinomial_does():
    """From the same seed the same negatives."""
    candidates = torch.rand(50, 7, generator=torch.Generator().manual_seed(0)) < 0.4
    candidates[:, 3] = True
    torch.manual_seed(1)
    expected = torch.multinomial(candidates.float(), 1).squeeze(1)
    torch.manual_seed(1)
    assert torch.equal(draw_of_each(candidates), expected)


def test_empty_batch():
    student = torch.randn(0, 4, requires_grad=True)
    loss = TripletKDLoss()(student, torch.randn(0, 4), torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss == 0
