"""VirtualTeacherConnector: the answers of a teacher that is always right."""

import amkd_mm  # noqa: F401

import pytest
import torch
from mmrazor.registry import MODELS


def build(**changes):
    return MODELS.build(dict(type='VirtualTeacherConnector', **{'num_classes': 5, **changes}))


@pytest.mark.parametrize('correct_prob', [0.99, 0.3])
def test_it_is_right_and_has_no_preference_among_the_others(correct_prob):
    labels = torch.tensor([3, 0, 3])
    answers = build(correct_prob=correct_prob)(labels).softmax(1)
    expected = [
        [correct_prob if k == label else (1 - correct_prob) / 4 for k in range(5)]
        for label in labels
    ]
    torch.testing.assert_close(answers, torch.tensor(expected))


def test_a_student_learns_of_it_what_is_softened_by_the_temperature():
    """Tf-KD_reg: the divergence of softened answers, here by powers of the probabilities."""
    labels, tau = torch.tensor([3, 0, 3, 1]), 20
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)) * 9
    loss = MODELS.build(dict(type='KLDivergence', tau=tau))(logits, build()(labels))
    total = 0
    for row, label in zip(logits, labels, strict=True):
        target = torch.tensor([0.99 if k == label else 0.0025 for k in range(5)]) ** (1 / tau)
        target, given = target / target.sum(), (row / tau).softmax(0)
        total += (target * (target / given).log()).sum()
    assert total > 0
    torch.testing.assert_close(loss, tau**2 * total / 4)


@pytest.mark.parametrize(
    ('wrong', 'error'),
    [
        (dict(num_classes=1), ValueError),
        (dict(num_classes='5'), TypeError),
        (dict(correct_prob=0.2), ValueError),
        (dict(correct_prob=1), ValueError),
        (dict(correct_prob=None), TypeError),
    ],
)
def test_wrong_arguments(wrong, error):
    with pytest.raises(error, match=f'VirtualTeacherConnector: {next(iter(wrong))}'):
        build(**wrong)
