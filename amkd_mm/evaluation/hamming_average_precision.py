"""Mean average precision among the first k images found, as papers on hashing have it."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS
from torch import Tensor

from ..config.argument_checks import check_int


def average_precision(relevant: Tensor) -> float:
    """Mean precision at the ranks of the relevant images among those found, 0 without one.

    Args:
        relevant (Tensor): Whether each image found is relevant, (k,), from the first to the last.
    """
    ranks = relevant.nonzero().flatten() + 1
    counts = torch.arange(1, len(ranks) + 1, device=ranks.device)
    return (counts / ranks.double()).mean().item() if len(ranks) else 0.0


@METRICS.register_module()
class HammingAveragePrecision(BaseMetric):
    """mAP@k of papers on hashing, in percent: ``hamming/mAP@k``.

    The average precision of a query is the mean of the precision at the rank of each relevant image
    among the first k, and 0 if none is. (MMPretrain's ``RetrievalAveragePrecision`` divides by the
    number of all relevant images of the database instead, so that it cannot be 100 where these are
    more than k.) It needs ``pred_label``, ranked indices, and ``gt_score``, 1 for each relevant
    image of the database, as :class:`HashRetriever` predicts.

    Args:
        topk (int): How many images are looked at, k.
        **kwargs: ``collect_device``, ``collect_dir`` and ``prefix`` of ``BaseMetric``.

    Raises:
        TypeError: If ``topk`` is no int.
        ValueError: If it is below 1, or more than the model finds of a database that has more.
        KeyError: If predictions lack ``pred_label`` or ``gt_score``.
    """

    default_prefix = 'hamming'

    def __init__(self, topk: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_int('HammingAveragePrecision: topk', topk, minimum=1)
        self.topk = topk

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the average precision of each query."""
        for sample in data_samples:
            if not {'pred_label', 'gt_score'} <= set(sample):
                raise KeyError(
                    'HammingAveragePrecision needs `pred_label` and `gt_score` in the predictions, '
                    "as model=dict(type='HashRetriever', ...) gives if queries and database have "
                    'labels'
                )
            relevant, found = sample['gt_score'], sample['pred_label']
            if len(found) < min(self.topk, len(relevant)):
                raise ValueError(
                    f'HammingAveragePrecision: topk is {self.topk}, but the model finds '
                    f'{len(found)} images: set `topk` of the model to -1, or to more'
                )
            self.results.append(average_precision(relevant[found[: self.topk]]))

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        """The mean over all queries."""
        return {f'mAP@{self.topk}': 100 * sum(results) / len(results)}
