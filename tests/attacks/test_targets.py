"""Target classes are drawn as they should be, and are never that of the base."""

from collections import Counter

import numpy as np
import pytest
import torch

from amkd_mm.attacks.targets import random_target, runner_up_target, sample_target


def softmax_without(logits, label):
    """The distribution that BSS draws target classes from, by the book."""
    top = max(value for k, value in enumerate(logits) if k != label)
    weights = [0.0 if k == label else float(np.exp(v - top)) for k, v in enumerate(logits)]
    return [weight / sum(weights) for weight in weights]


def check_distribution(targets, probabilities):
    """Chi-square of counted draws, over the classes that are likely at all."""
    counts = Counter(targets.tolist())
    statistic, degrees = 0.0, -1
    for k, probability in enumerate(probabilities):
        expected = probability * len(targets)
        if expected < 1e-3:
            assert counts[k] == 0
        else:
            statistic += (counts[k] - expected) ** 2 / expected
            degrees += 1
    # Mean plus over four standard deviations.
    assert statistic < degrees + 6 * max(1, 2 * degrees) ** 0.5


@pytest.mark.parametrize('label', range(5))
@pytest.mark.parametrize(
    'logits',
    [
        [1.0, 0.5, -0.3, 0.1, 2.0],
        # The base class saturates the softmax: in float32 all others are 0.
        'saturated',
        [0.0, 0.0, 0.0, 0.0, 0.0],
    ],
)
def test_sample_draws_from_the_softmax_without_the_base_class(logits, label):
    if logits == 'saturated':
        logits = [3.0, 2.5, 1.0, 2.0, 1.5]
        logits[label] = 500.0
        assert torch.tensor(logits).softmax(0).sort().values[-2] == 0
    rows = torch.tensor(logits).repeat(20000, 1)
    labels = torch.full((len(rows),), label)
    generator = torch.Generator().manual_seed(label)
    targets = sample_target(rows, labels, generator)
    assert not (targets == label).any()
    check_distribution(targets, softmax_without(logits, label))


@pytest.mark.parametrize('draw', [0.0, 1 - 2**-24])
def test_sample_at_the_ends_of_the_random_numbers(draw, monkeypatch):
    monkeypatch.setattr(torch, 'rand', lambda *size, **kwargs: torch.full(size, draw))
    for label in (0, 1, 3):
        logits = torch.tensor([[-900.0, -900.0, 7.0, -900.0]])
        logits[:, label] = 1000.0
        # The others are as good as impossible, whether they stand before or behind.
        targets = sample_target(logits, torch.tensor([label]), None)
        assert targets.tolist() == [2]

    logits = 3 * torch.randn(2000, 7, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(2000) % 7
    targets = sample_target(logits, labels, None).tolist()
    # Only the first or the last other class fits.
    for label, target in zip(labels.tolist(), targets, strict=True):
        others = [k for k in range(7) if k != label]
        assert target == others[0 if draw == 0 else -1]


def test_random_target_draws_all_other_classes_equally():
    for label in range(4):
        rows, labels = torch.zeros(8000, 4), torch.full((8000,), label)
        generator = torch.Generator().manual_seed(label)
        targets = random_target(rows, labels, generator)
        check_distribution(targets, [0.0 if k == label else 1 / 3 for k in range(4)])


def test_runner_up_is_the_best_other_class():
    logits = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 6
    found = runner_up_target(logits, labels, None).tolist()
    for row, label, target in zip(logits.tolist(), labels.tolist(), found, strict=True):
        others = [k for k in range(6) if k != label]
        assert target == max(others, key=lambda k: row[k])
