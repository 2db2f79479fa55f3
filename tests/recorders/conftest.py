"""A classifier of four classes to record."""

import pytest
import torch
from mmpretrain.registry import MODELS

from networks import classifier


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MODELS.build(classifier()).eval()
