"""Expected calibration error: whether a confidence is the chance to be right."""

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.registry import METRICS
from torch import Tensor

from ..config.argument_checks import check_int
from .sparing_metric import SparingMetric


def calibration_error(confidences: Tensor, correct: Tensor, num_bins: int = 15) -> float:
    """Expected calibration error of Guo et al., ICML 2017 (arXiv 1706.04599), as a share.

    Predictions are put into bins of equal width by their confidence, each of which has its upper
    end but not its lower. The error is the mean over the predictions of how far the accuracy of
    their bin is from its mean confidence.

    Args:
        confidences (Tensor): Probability of the predicted class, (N,), in [0, 1], N at least 1.
        correct (Tensor): Whether the prediction is right, (N,) bool.
        num_bins (int): Number of bins. Defaults to 15, as in the paper.

    Returns:
        float: In [0, 1].
    """
    inner = torch.linspace(0, 1, num_bins + 1).to(confidences)[1:-1]
    bins = torch.bucketize(confidences, inner)
    # In a bin, number times |accuracy - mean confidence| is the absolute sum of the differences.
    differences = correct.double() - confidences.double()
    sums = differences.new_zeros(num_bins).index_add_(0, bins, differences)
    return sums.abs().sum().item() / len(confidences)


@METRICS.register_module()
class ExpectedCalibrationError(SparingMetric):
    """Expected calibration error (Guo et al., ICML 2017), in percent.

    Gives ``calibration/ece``, 0 where confidences say how often the network is right. It needs the
    network's predictions only, so it works for any classifier of MMPretrain, and MMRazor's
    validation gives that of the teacher as ``teacher.calibration/ece``. Percent, as in the paper's
    tables and as MMPretrain's accuracy; others give shares. Without a prediction it gives nothing.

    Args:
        num_bins (int): Bins of equal width, at least 1. Defaults to 15, as in the paper.
        **kwargs: ``collect_device``, ``collect_dir`` and ``prefix`` of ``BaseMetric``.

    Raises:
        ValueError: If ``num_bins`` is below 1, or a score is not a probability.
        KeyError: If the network predicts labels without scores.
        TypeError: If an image has not just one label. In a training, batches with such images are
            left out instead, with one warning.
    """

    default_prefix = 'calibration'

    def __init__(self, num_bins: int = 15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_int('ExpectedCalibrationError: num_bins', num_bins, minimum=1)
        self.num_bins = num_bins

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep confidence and correctness of each prediction."""
        with self.sparing():
            self.results.extend([self.judge(sample) for sample in data_samples])

    @staticmethod
    def judge(sample: dict) -> tuple[float, bool]:
        """Confidence and correctness of a prediction."""
        if 'pred_score' not in sample:
            raise KeyError('ExpectedCalibrationError needs `pred_score` in the predictions')
        if sample['gt_label'].numel() != 1:
            raise TypeError(
                'ExpectedCalibrationError needs single-label samples, one `gt_label` each'
            )
        confidence, predicted = sample['pred_score'].float().max(0)
        # NaN fails every comparison. Rounding may make the sum of two probabilities exceed 1.
        if not 0 <= confidence <= 1 + 1e-4:
            raise ValueError(
                'ExpectedCalibrationError needs probabilities as `pred_score`, but found a '
                f'score of {float(confidence):g}'
            )
        correct = predicted == sample['gt_label'].to(predicted.device).item()
        return confidence.clamp(max=1).item(), bool(correct)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The error over all predictions."""
        if not results:
            return {}
        confidences, correct = zip(*results, strict=True)
        error = calibration_error(torch.tensor(confidences), torch.tensor(correct), self.num_bins)
        return dict(ece=100 * error)
