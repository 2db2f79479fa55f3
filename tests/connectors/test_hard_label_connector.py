"""HardLabelConnector by hand."""

import torch

from amkd_mm.connectors import HardLabelConnector


def test_the_class_of_the_highest_score():
    logits = torch.tensor([[0.1, 2.0, -1.0], [-3.0, -2.0, -1.0], [9.0, 8.0, 7.0]])
    found = HardLabelConnector()(logits)
    assert found.tolist() == [1, 2, 0] and found.dtype == torch.int64
