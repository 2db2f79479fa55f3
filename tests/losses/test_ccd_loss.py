"""CCDLoss against a plain loop."""

import math

import pytest
import torch

from amkd_mm.losses import CCDLoss


def softmax(row, tau):
    values = [math.exp(value / tau) for value in row]
    return [value / sum(values) for value in values]


def cosine(first, second):
    product = sum(a * b for a, b in zip(first, second, strict=True))
    return product / math.hypot(*first) / math.hypot(*second)


def test_divergence_by_confidence():
    student, teacher, clean = torch.randn(3, 5, 4).double().tolist()
    total = 0
    for s, t, c in zip(student, teacher, clean, strict=True):
        p, q = softmax(t, 2.0), softmax(s, 2.0)
        divergence = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        total += (1 + cosine(t, c)) * divergence * 2.0**2
    loss = CCDLoss(tau=2.0, loss_weight=0.7)(*map(torch.tensor, (student, teacher, clean)))
    assert loss.item() == pytest.approx(0.7 * total / 5, rel=1e-5)


def test_an_image_that_the_teacher_takes_for_the_opposite_does_not_count():
    student, teacher = torch.randn(2, 3, 4)
    assert CCDLoss()(student, teacher, -teacher).item() == pytest.approx(0, abs=1e-5)
    assert CCDLoss()(student, teacher, teacher) > 0.01


def test_only_the_student_is_changed():
    student, teacher, clean = (torch.randn(3, 4, requires_grad=True) for _ in range(3))
    CCDLoss()(student, teacher, clean).backward()
    assert teacher.grad is None and clean.grad is None and student.grad.abs().sum() > 0


def test_temperature_of_zero():
    with pytest.raises(ValueError, match='tau must be > 0, not 0'):
        CCDLoss(tau=0)


def test_copies_of_some_images_only():
    logits = torch.zeros(4, 3)
    with pytest.raises(ValueError, match='2 copies of 4 images: leave `num_samples`'):
        CCDLoss()(logits[:2], logits[:2], logits)
