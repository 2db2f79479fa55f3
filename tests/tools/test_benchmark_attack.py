"""The benchmark's references are right, and its table says what the attacks do."""

import json
import statistics
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import save_checkpoint
from mmpretrain.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def benchmark(load_tool):
    return load_tool('analysis_tools/benchmark_attack.py')


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
    arguments = [str(config), checkpoint, '--num-samples', '32', '--repeats', '2', '--curves']
    arguments += ['--json', str(tmp_path / 'table.json')]
    monkeypatch.setattr(sys, 'argv', ['benchmark_attack.py', *arguments])
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        benchmark.main()

    tables = [
        [[cell.strip() for cell in row.split('|')[1:-1]] for row in text.splitlines()]
        for text in capsys.readouterr().out.split('\n\n')[-3:]
    ]
    table = {row[0]: dict(zip(tables[0][0], row, strict=True)) for row in tables[0][2:]}
    ours = {
        name + end for name in ('BSSAttack', 'BoundarySearch') for end in ('', ', teacher as it is')
    }
    assert set(table) == {benchmark.PUBLISHED, benchmark.NEWTON, *ours}
    # The attack of the same arithmetic has the same results, from fewer gradients.
    published, plain = table[benchmark.PUBLISHED], table['BSSAttack, teacher as it is']
    for figure in ('probability gap, median', '90% of gaps below', 'reached', 'L2', 'as published'):
        assert plain[figure] == published[figure]
    assert float(plain['gradient']) <= float(published['gradient'])
    assert published['relative to published'] == '1.00'
    assert published['as published'] == '100.0%'
    assert table['BoundarySearch']['as published'] != '100.0%'

    # The same figures for programs
    found = json.loads((tmp_path / 'table.json').read_text())
    assert set(found['attacks']) == set(table)
    for name, row in found['attacks'].items():
        median = 1000 * statistics.median(row['seconds']) / found['samples']
        assert f'{median:.2f} (' in table[name]['ms a sample (min to max)']
        assert f'{row["probability_gap"]:.4f}' == table[name]['probability gap, median']

    for rows, numbers in ((tables[1], [2, 4, 8, 16, 32]), (tables[2], [1, 2, 4, 8, 16])):
        assert [(row[0], int(row[1])) for row in rows[2:]] == [
            (name, number) for name in ('BSSAttack', 'BoundarySearch') for number in numbers
        ]
        assert all(float(row[2]) > 0 for row in rows[2:])


def test_few_images_and_a_preprocessor_in_the_model(benchmark, tmp_path, monkeypatch, capsys):
    """As a dumped config has it: not to normalise would be another classifier."""
    config = Config.fromfile(ROOT / 'configs/vanilla/resnet8_1xb64_digits.py')
    config.model.data_preprocessor = config.data_preprocessor
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        torch.manual_seed(0)
        network = MODELS.build(config.model)
        network.init_weights()
        seen = []
        built = MODELS.build
        monkeypatch.setattr(MODELS, 'build', lambda cfg: seen.append(built(cfg)) or seen[-1])
        save_checkpoint(dict(state_dict=network.state_dict()), str(tmp_path / 'digits.pth'))
        config.pop('data_preprocessor')
        config.dump(tmp_path / 'own.py')
        arguments = [str(tmp_path / 'own.py'), str(tmp_path / 'digits.pth')]
        arguments += ['--num-samples', '4', '--repeats', '1', '--curves']
        monkeypatch.setattr(sys, 'argv', ['benchmark_attack.py', *arguments])
        benchmark.main()
    found = [m.data_preprocessor.mean for m in seen if hasattr(m, 'data_preprocessor')]
    torch.testing.assert_close(found[-1], network.data_preprocessor.mean)
    rows = capsys.readouterr().out.split('\n\n')[-2].splitlines()[2:]
    assert [row.split('|')[2].strip() for row in rows] == ['1', '2', '4'] * 2


def test_a_checkpointed_network(benchmark, tmp_path, monkeypatch, capsys):
    """Activation checkpointing gives no input gradients."""
    config = Config.fromfile(ROOT / 'configs/vanilla/resnet8_1xb64_digits.py')
    backbone = dict(_scope_='mmpretrain', type='ResNet_CIFAR', depth=18, with_cp=True)
    config.model.backbone = dict(backbone, base_channels=4, stem_channels=4)
    config.model.head.in_channels = 32
    config.dump(tmp_path / 'checkpointed.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        torch.manual_seed(0)
        network = MODELS.build(config.model)
        save_checkpoint(dict(state_dict=network.state_dict()), str(tmp_path / 'digits.pth'))
        arguments = [str(tmp_path / 'checkpointed.py'), str(tmp_path / 'digits.pth')]
        arguments += ['--num-samples', '4', '--repeats', '1']
        monkeypatch.setattr(sys, 'argv', ['benchmark_attack.py', *arguments])
        benchmark.main()
    assert '| BoundarySearch |' in capsys.readouterr().out


def test_endless_attacks_take_all_their_steps(benchmark):
    """The curve over steps is only one if no sample ends early."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(12, 4, generator=generator)
    inputs = torch.randn(20, 3, 2, 2, generator=generator)
    labels, targets = (inputs.flatten(1) @ weight).topk(2)[1].unbind(1)
    for build, of_steps in (
        (benchmark.ENDLESS['BSSAttack'], lambda steps: steps + 1),
        (benchmark.ENDLESS['BoundarySearch'], lambda steps: steps),
    ):
        for steps in (2, 5):
            sizes = []

            def model(x, sizes=sizes):
                sizes.append(len(x))
                return (x.flatten(1) @ weight).tanh()

            build(steps)(model, inputs, labels, targets)
            assert len(sizes) >= of_steps(steps)
            assert sizes[-1] > 10
