"""ReviewKDLoss against plain loops."""

import pytest
import torch

from amkd_mm.losses import ReviewKDLoss


def mean_squares(first, second):
    pairs = list(zip(first.flatten().tolist(), second.flatten().tolist(), strict=True))
    return sum((a - b) ** 2 for a, b in pairs) / len(pairs)


def averaged(feature, edge):
    """Maps whose edge is a multiple, to fewer places."""
    step = feature.size(2) // edge
    out = torch.empty(*feature.shape[:2], edge, edge).double()
    for y in range(edge):
        for x in range(edge):
            part = feature[:, :, step * y : step * (y + 1), step * x : step * (x + 1)]
            out[:, :, y, x] = part.mean((2, 3))
    return out


def by_hand(student, teacher, levels):
    """The mean over scales, whose weights halve, of the mean squared differences."""
    terms = [(1.0, mean_squares(student, teacher))]
    for number, level in enumerate(levels, 1):
        scales = averaged(student, level), averaged(teacher, level)
        terms.append((0.5**number, mean_squares(*scales)))
    return sum(w * value for w, value in terms) / sum(w for w, _ in terms)


def maps(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


# Edges of maps, and the scales below them.
LEVELS = {8: (4, 2, 1), 4: (2, 1), 2: (1,), 1: ()}


def test_stages_and_scales():
    student = [maps(2, 3, edge, edge, seed=edge) for edge in LEVELS]
    teacher = [maps(2, 3, edge, edge, seed=10 + edge) for edge in LEVELS]
    expected = sum(
        by_hand(s, t, levels)
        for s, t, levels in zip(student, teacher, LEVELS.values(), strict=True)
    )
    # An embedding is a map of one place.
    teacher[-1] = teacher[-1].flatten(1)
    loss = ReviewKDLoss(loss_weight=0.7)(student, teacher)
    assert loss.item() == pytest.approx(0.7 * expected, rel=1e-9)


def test_the_batch_does_not_count():
    student, teacher = maps(2, 3, 4, 4), maps(2, 3, 4, 4, seed=1)
    twice = ReviewKDLoss()([student.repeat(2, 1, 1, 1)], [teacher.repeat(2, 1, 1, 1)])
    assert twice.item() == pytest.approx(ReviewKDLoss()([student], [teacher]).item())


def test_maps_of_zeros_a_batch_of_one_and_who_learns():
    student = torch.zeros(1, 3, 4, 4, requires_grad=True)
    teacher = torch.zeros(1, 3, 4, 4, requires_grad=True)
    loss = ReviewKDLoss()([student], [teacher])
    loss.backward()
    assert loss.item() == 0 and (student.grad == 0).all() and teacher.grad is None
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = ReviewKDLoss()([student.bfloat16()], [1 + teacher.bfloat16()])
    assert loss.dtype == torch.float32 and loss.item() == 1


def test_maps_of_other_shapes():
    with pytest.raises(ValueError, match=r'\[\(3, 4, 4\)\] and those of .* \[\(3, 2, 2\)\]: set'):
        ReviewKDLoss()([maps(2, 3, 4, 4)], [maps(2, 3, 2, 2)])
    with pytest.raises(ValueError, match='out_channels'):
        ReviewKDLoss()([maps(2, 3, 4, 4)], [maps(2, 3, 4, 4), maps(2, 3)])
