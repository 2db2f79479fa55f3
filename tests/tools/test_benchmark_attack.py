"""The benchmark's references are right, and its table says what the attacks do."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import save_checkpoint
from mmpretrain.registry import MODELS

import amkd_mm  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def benchmark():
    path = ROOT / 'tools/analysis_tools/benchmark_attack.py'
    spec = importlib.util.spec_from_file_location('benchmark_attack', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def two_classes():
    """Logits whose margin is 2 x0 everywhere, and inputs at x0 = 1 and 3 of class 0."""
    inputs = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)
    return lambda x: torch.cat([x.flatten(1), -x.flatten(1)], 1), inputs


def test_published_loop_step_by_step(benchmark):
    """By hand: x moves by -0.3 (2 x + 1e-4), so it keeps 0.4 of itself and loses 3e-5."""
    model, inputs = two_classes()
    labels, targets = torch.zeros(2).long(), torch.ones(2).long()
    bounds = torch.tensor(-5.0), torch.tensor(5.0)
    moved = benchmark.published_bss(model, inputs, labels, targets, bounds, num_steps=2)
    by_hand = (inputs * 0.4 - 3e-5) * 0.4 - 3e-5
    torch.testing.assert_close(moved, by_hand)
    # The fixed point of the steps is beyond the boundary, where they end.
    moved = benchmark.published_bss(model, inputs, labels, targets, bounds, num_steps=50)
    assert (moved < 0).all()
    assert (moved > -1e-4).all()


def test_newton_step_by_hand(benchmark):
    """A linear margin is crossed in one step, by 2% of the way."""
    model, inputs = two_classes()
    labels, targets = torch.zeros(2).long(), torch.ones(2).long()
    bounds = torch.tensor(-5.0), torch.tensor(5.0)
    moved = benchmark.newton(model, inputs, labels, targets, bounds)
    torch.testing.assert_close(moved, -0.02 * inputs)


def test_table(benchmark, tmp_path, monkeypatch, capsys):
    config = ROOT / 'configs/vanilla/resnet8_1xb64_digits.py'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        torch.manual_seed(0)
        network = MODELS.build(Config.fromfile(config).model)
        network.init_weights()
    checkpoint = str(tmp_path / 'digits.pth')
    save_checkpoint(dict(state_dict=network.state_dict()), checkpoint)
    arguments = [str(config), checkpoint, '--num-samples', '24', '--repeats', '2']
    monkeypatch.setattr(sys, 'argv', ['benchmark_attack.py', *arguments])
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        benchmark.main()

    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines if line[:2] == '| ']
    table = {row[0]: row[1:] for row in rows[2:]}
    assert set(table) == {benchmark.PUBLISHED, benchmark.NEWTON, 'BSSAttack', 'BoundarySearch'}
    # The attack of the same arithmetic has the same results, from no more gradients.
    assert table['BSSAttack'][4:8] == table[benchmark.PUBLISHED][4:8]
    assert float(table['BSSAttack'][3]) <= float(table[benchmark.PUBLISHED][3])
    assert table[benchmark.PUBLISHED][1] == '1.00'
