"""The Digits configs have a fixed seed, which every tool can replace."""

from pathlib import Path

import pytest
from mmengine.config import Config

from amkd_mm.benchmarking.settings import load_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
DIGITS = sorted(CONFIGS.glob('[!_]*/*_digits*.py'))


@pytest.mark.parametrize('path', DIGITS, ids=lambda path: path.stem)
def test_seed_is_fixed(path):
    assert Config.fromfile(path).randomness.seed == 0


def test_benchmark_sets_another():
    """It trains with this option, and for its comparison a config is the same with any seed."""
    assert load_config(DIGITS[0], ['randomness.seed=7']).randomness.seed == 7
