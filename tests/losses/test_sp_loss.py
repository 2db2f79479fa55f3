"""SPLoss against plain loops."""

import math

import pytest
import torch

from amkd_mm.losses import SPLoss


def by_hand(student, teacher):
    """Squared distances of the normalised rows of inner products, over the square of the batch."""
    matrices = []
    for features in (student, teacher):
        rows = [image.flatten().tolist() for image in features]
        matrix = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]
        lengths = [math.hypot(*row) for row in matrix]
        matrices.append(
            [[value / length for value in row] for row, length in zip(matrix, lengths, strict=True)]
        )
    number = len(student)
    total = sum(
        (matrices[0][i][j] - matrices[1][i][j]) ** 2 for i in range(number) for j in range(number)
    )
    return total / number**2


def features(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def test_similarities_of_images():
    """Of maps of any shape, in student and teacher."""
    student, teacher = features(5, 3, 4, 2), features(5, 7, seed=1)
    loss = SPLoss(loss_weight=0.7)(student, teacher)
    assert loss.item() == pytest.approx(0.7 * by_hand(student, teacher), rel=1e-12)
    assert SPLoss()(student, teacher).item() == pytest.approx(3000 * by_hand(student, teacher))


def test_an_orthogonal_map_of_the_features_changes_nothing():
    student = features(6, 4)
    rotation = torch.linalg.qr(features(4, 4, seed=2))[0]
    assert SPLoss()(student, 5 * student @ rotation).item() == pytest.approx(0, abs=1e-9)


def test_it_falls_with_the_batch():
    """As published: a sum over N rows of length 1, divided by N^2."""
    student, teacher = features(4, 3), features(4, 3, seed=1)
    twice = SPLoss()(student.repeat(2, 1), teacher.repeat(2, 1))
    assert twice.item() == pytest.approx(SPLoss()(student, teacher).item() / 2)


def test_features_of_zeros_and_a_batch_of_one():
    for rows in (1, 3):
        for student in (torch.zeros(rows, 4, 2, 2), features(rows, 4, 2, 2).float()):
            student.requires_grad_()
            loss = SPLoss()(student, torch.zeros(rows, 4))
            loss.backward()
            assert torch.isfinite(loss) and torch.isfinite(student.grad).all()
    # A single image is as similar to itself as can be.
    assert SPLoss()(features(1, 4), features(1, 4, seed=1)).item() == pytest.approx(0, abs=1e-9)


def test_only_the_student_is_changed_also_in_half_precision():
    student, teacher = (
        features(4, 6, seed=seed).to(torch.bfloat16).requires_grad_() for seed in (0, 1)
    )
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = SPLoss()(student, teacher)
    loss.backward()
    expected = 3000 * by_hand(student.double().detach(), teacher.double().detach())
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(expected, rel=1e-5)
    assert student.grad.abs().sum() > 0 and teacher.grad is None


def test_other_batches():
    with pytest.raises(ValueError, match='s_feature has 4 and t_feature 3: give .* `record_idx`'):
        SPLoss()(features(4, 6), features(3, 6))
