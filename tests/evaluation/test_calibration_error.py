"""The expected calibration error against a naive loop, hand-made values and published ones."""

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.registry import METRICS
from mmpretrain.structures import DataSample

from amkd_mm.evaluation import calibration_error

# The example of torchmetrics' MulticlassCalibrationError, whose documentation says 0.2 for 3 bins.
SCORES = [[0.25, 0.20, 0.55], [0.55, 0.05, 0.40], [0.10, 0.30, 0.60], [0.90, 0.05, 0.05]]
LABELS = [0, 1, 2, 0]


def naive(confidences, correct, num_bins):
    """Bin by bin, as Guo et al. write it."""
    total = 0
    for i in range(num_bins):
        low, high = i / num_bins, (i + 1) / num_bins
        members = [k for k, value in enumerate(confidences) if low < value <= high]
        if members:
            accuracy = sum(correct[k] for k in members) / len(members)
            confidence = sum(confidences[k] for k in members) / len(members)
            total += len(members) / len(confidences) * abs(accuracy - confidence)
    return total


def evaluate(scores, labels, **options):
    metric = METRICS.build(dict(_scope_='mmpretrain', type='ExpectedCalibrationError', **options))
    evaluator = Evaluator(metric)
    samples = [
        DataSample().set_gt_label(label).set_pred_score(torch.tensor(score))
        for score, label in zip(scores, labels, strict=True)
    ]
    # Of different batches
    evaluator.process(samples[:1])
    evaluator.process(samples[1:])
    return evaluator.evaluate(len(samples))


@pytest.mark.parametrize('num_bins', [1, 2, 10, 15])
def test_equals_a_naive_loop(num_bins):
    generator = torch.Generator().manual_seed(0)
    confidences = torch.rand(300, generator=generator)
    correct = torch.rand(300, generator=generator) < confidences.square()
    expected = naive(confidences.tolist(), correct.tolist(), num_bins)
    assert expected > 0.05
    found = calibration_error(confidences, correct, num_bins)
    assert found == pytest.approx(expected, abs=1e-6)


def test_bins_have_their_upper_end():
    # 0.5 belongs to the lower of two bins; alone in the upper one, 0.75 is off by 0.25.
    confidences, correct = torch.tensor([0.25, 0.5, 0.75]), torch.tensor([False, True, True])
    expected = 2 / 3 * abs(0.5 - 0.375) + 1 / 3 * 0.25
    assert calibration_error(confidences, correct, 2) == pytest.approx(expected)
    ends = torch.tensor([0.0, 1.0])
    assert calibration_error(ends, torch.tensor([False, True])) == 0


def test_published_value_in_percent():
    assert evaluate(SCORES, LABELS, num_bins=3) == {'calibration/ece': pytest.approx(20)}


def test_a_calibrated_network_has_no_error():
    scores, labels = [[0.75, 0.25]] * 4, [0, 0, 0, 1]
    assert evaluate(scores, labels) == {'calibration/ece': pytest.approx(0, abs=1e-5)}
    # Sure and always wrong
    assert evaluate([[1.0, 0.0]] * 4, [1] * 4) == {'calibration/ece': pytest.approx(100)}


def test_no_predictions_give_nothing():
    assert evaluate([], []) == {}


@pytest.mark.parametrize(
    ('scores', 'labels', 'error', 'message'),
    [
        ([[3.0, -1.0]], [0], ValueError, 'score of 3'),
        ([[float('nan'), 0.5]], [0], ValueError, 'nan'),
        ([[0.5, 0.5]], [[0, 1]], TypeError, 'single-label'),
    ],
)
def test_other_predictions_are_refused(scores, labels, error, message):
    with pytest.raises(error, match=message):
        evaluate(scores, labels)


def test_labels_without_scores_are_refused():
    metric = METRICS.build(dict(_scope_='mmpretrain', type='ExpectedCalibrationError'))
    with pytest.raises(KeyError, match='pred_score'):
        metric.process(None, [DataSample().set_gt_label(0).set_pred_label(0).to_dict()])


def test_a_bin_is_needed():
    with pytest.raises(ValueError, match='num_bins must be >= 1, not 0'):
        evaluate([], [], num_bins=0)
