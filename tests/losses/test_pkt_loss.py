"""PKTLoss against plain loops."""

import math

import pytest
import torch

from amkd_mm.losses import PKTLoss

EPS = 1e-7


def probabilities(rows):
    """Of each image's neighbours, by the cosine kernel."""
    found = []
    for x in rows:
        kernel = []
        for y in rows:
            product = sum(a * b for a, b in zip(x, y, strict=True))
            kernel.append((product / math.hypot(*x) / math.hypot(*y) + 1) / 2)
        found.append([value / sum(kernel) for value in kernel])
    return found


def by_hand(student, teacher, eps=EPS):
    q, p = probabilities(student.tolist()), probabilities(teacher.tolist())
    number = range(len(p))
    terms = [p[i][j] * math.log((p[i][j] + eps) / (q[i][j] + eps)) for i in number for j in number]
    return sum(terms) / len(terms)


def embeddings(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def test_divergence_of_neighbours():
    student, teacher = embeddings(5, 3), embeddings(5, 8, seed=1)
    loss = PKTLoss(loss_weight=0.7)(student, teacher)
    assert loss.item() == pytest.approx(0.7 * by_hand(student, teacher), rel=1e-12)
    assert PKTLoss()(student, teacher).item() == pytest.approx(30000 * by_hand(student, teacher))
    # The divergence is not symmetric: that of the student from the teacher.
    assert by_hand(teacher, student) != pytest.approx(by_hand(student, teacher), rel=0.01)


def test_directions_alone_count():
    student = embeddings(4, 6)
    assert PKTLoss()(student, 7 * student).item() == pytest.approx(0, abs=1e-9)
    assert PKTLoss()(student, student.roll(1, 0)).item() > 0.1


def test_opposite_embeddings():
    """Whose kernel is 0, of which there is no logarithm."""
    student = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]).double()
    teacher = embeddings(3, 2)
    for pair in ((student, teacher), (teacher, student)):
        assert PKTLoss(1.0)(*pair).item() == pytest.approx(by_hand(*pair), rel=1e-9)


def test_it_falls_with_the_batch():
    """As in the authors' code: a mean over pairs of what sums to a divergence in each row."""
    student, teacher = embeddings(4, 3), embeddings(4, 3, seed=1)
    twice = PKTLoss(eps=1e-12)(student.repeat(2, 1), teacher.repeat(2, 1))
    once = PKTLoss(eps=1e-12)(student, teacher)
    assert twice.item() == pytest.approx(once.item() / 2, rel=1e-6)


def test_embeddings_of_zeros_and_a_batch_of_one():
    for rows in (1, 3):
        for student in (torch.zeros(rows, 4), embeddings(rows, 4).float()):
            student.requires_grad_()
            loss = PKTLoss()(student, torch.zeros(rows, 6))
            loss.backward()
            assert torch.isfinite(loss) and torch.isfinite(student.grad).all()
    assert PKTLoss()(embeddings(1, 4), embeddings(1, 4, seed=1)).item() == 0


def test_only_the_student_is_changed_also_in_half_precision():
    student, teacher = (
        embeddings(4, 6, seed=seed).to(torch.bfloat16).requires_grad_() for seed in (0, 1)
    )
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = PKTLoss(1.0)(student, teacher)
    loss.backward()
    expected = by_hand(student.double().detach(), teacher.double().detach())
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(expected, rel=1e-3)
    assert student.grad.abs().sum() > 0 and teacher.grad is None


def test_other_batches():
    with pytest.raises(ValueError, match='PKTLoss .* s_feature has 4 and t_feature 3'):
        PKTLoss()(embeddings(4, 6), embeddings(3, 6))
