"""StageContrastiveLoss against a plain loop."""

import math

import pytest
import torch

from amkd_mm.losses import StageContrastiveLoss

SIZES = (4, 2, 1)


def pooled(feature):
    """Mean of each channel, as vectors of length 1."""
    rows = []
    for image in feature.tolist():
        row = [sum(map(sum, plane)) / sum(map(len, plane)) for plane in image]
        length = math.hypot(*row)
        rows.append([value / length for value in row])
    return rows


def maps(width=6, rows=5):
    return [torch.randn(rows, width, size, size).double() for size in SIZES]


def test_each_image_must_find_its_own():
    student, teacher = maps(), maps()
    total = 0
    for s, t in zip(student, teacher, strict=True):
        for index, row in enumerate(pooled(s)):
            scores = [sum(a * b for a, b in zip(row, o, strict=True)) / 0.2 for o in pooled(t)]
            total -= math.log(math.exp(scores[index]) / sum(map(math.exp, scores)))
    loss = StageContrastiveLoss(tau=0.2, loss_weight=0.7)(student, teacher)
    assert loss.item() == pytest.approx(0.7 * total / 5 / len(SIZES), rel=1e-5)


def test_a_student_like_the_teacher_has_less_to_learn_than_one_like_another_image():
    teacher = maps()
    loss = StageContrastiveLoss()
    assert loss(teacher, teacher) < 0.1 < 1 < loss([each.roll(1, 0) for each in teacher], teacher)
    # The teacher's maps may have another size; the lengths of the vectors do not matter.
    larger = [3 * each.repeat_interleave(2, 2) for each in teacher]
    torch.testing.assert_close(loss(teacher, larger), loss(teacher, teacher))


def test_a_single_image_has_nothing_to_be_told_from():
    assert StageContrastiveLoss()(maps(rows=1), maps(rows=1)).item() == 0


def test_both_sides_have_gradients_in_single_precision():
    student, teacher = (
        [each.to(torch.bfloat16).requires_grad_() for each in side] for side in (maps(), maps())
    )
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = StageContrastiveLoss()(student, teacher)
    assert loss.dtype == torch.float32
    loss.backward()
    # The teacher's connector learns as well.
    assert all(each.grad.abs().sum() > 0 for each in (*student, *teacher))


def test_other_stages():
    with pytest.raises(ValueError, match='as many stages of the same width'):
        StageContrastiveLoss()(maps(), maps()[:2])
    with pytest.raises(ValueError, match='out_channels'):
        StageContrastiveLoss()(maps(6), maps(7))


def test_temperature_of_zero():
    with pytest.raises(ValueError, match='tau must be > 0, not 0'):
        StageContrastiveLoss(tau=0)
