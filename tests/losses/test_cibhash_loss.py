"""CIBHashLoss against plain loops over views and bits."""

import math

import pytest
import torch

from amkd_mm.losses import CIBHashLoss


def cosine(first, second):
    product = sum(a * b for a, b in zip(first, second, strict=True))
    return product / math.hypot(*first) / math.hypot(*second)


def test_contrast_of_two_views():
    generator = torch.manual_seed(0)
    codes = torch.randn(8, 6, generator=generator).sign()
    rows, total = codes.tolist(), 0
    for i, row in enumerate(rows):
        scores = {j: math.exp(cosine(row, other) / 0.5) for j, other in enumerate(rows) if j != i}
        total -= math.log(scores[(i + 4) % 8] / sum(scores.values()))
    found = CIBHashLoss(temperature=0.5, loss_weight=0.7)(codes, torch.zeros(8, 6))
    assert found['loss_contrast'].item() == pytest.approx(0.7 * total / 8, rel=1e-5)
    assert found['loss_kl'].item() == 0


def test_divergence_of_bits():
    generator = torch.manual_seed(0)
    logits = torch.randn(6, 5, generator=generator)
    rows, total = logits.sigmoid().tolist(), 0
    for first, second in ((0, 3), (1, 4), (2, 5), (3, 0), (4, 1), (5, 2)):
        for p, q in zip(rows[first], rows[second], strict=True):
            total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    found = CIBHashLoss(kl_weight=0.3, loss_weight=0.7)(logits.sign(), logits)
    assert found['loss_kl'].item() == pytest.approx(0.7 * 0.3 * total / 3 / 2, rel=1e-5)


def test_the_other_view_is_a_fixed_goal():
    """The gradient of KL(p | q) alone reaches p, and that of KL(q | p) alone reaches q."""
    generator = torch.manual_seed(0)
    logits = torch.randn(2, 5, generator=generator, requires_grad=True)
    CIBHashLoss(kl_weight=1.0)(logits.detach(), logits)['loss_kl'].backward()
    p, q = logits.detach()
    # d KL(p | q) / d logit of p is p (1 - p) times the difference of the logits.
    expected = p.sigmoid() * (1 - p.sigmoid()) * (p - q) / 2
    torch.testing.assert_close(logits.grad[0], expected)


def test_certain_bits_that_differ():
    """No infinity where a probability rounds to 0 or 1."""
    logits = torch.tensor([[200.0, -200.0], [-200.0, -200.0]], requires_grad=True)
    loss = CIBHashLoss(kl_weight=1.0)(logits.detach().sign(), logits)['loss_kl']
    loss.backward()
    assert loss.item() == pytest.approx(200) and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(temperature=0), 'temperature must be > 0'),
        (dict(kl_weight=-1), 'kl_weight must be >= 0'),
        (dict(loss_weight=-1), 'loss_weight must be >= 0'),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        CIBHashLoss(**settings)
