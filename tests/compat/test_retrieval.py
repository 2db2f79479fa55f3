"""MMPretrain's metrics of retrieval work with the installed NumPy."""

import amkd_mm  # noqa: F401

import pytest
import torch
from mmpretrain.evaluation import RetrievalAveragePrecision, RetrievalRecall


def test_values_of_mmpretrains_documentation():
    found = [torch.arange(100.0)] * 3
    targets = [[0, 3, 6, 8, 35], [1, 2, 54, 105], [2, 42, 205]]
    precision = RetrievalAveragePrecision.calculate(found, targets, 10, True, True)
    assert precision == pytest.approx(29.246031746031747)
    (recall,) = RetrievalRecall.calculate(found, targets, 1, True, True)
    assert recall.item() == pytest.approx(100 / 3)
