"""The step benchmark: what it counts as the passes alone, as a part, and as memory."""

import json
import statistics
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'


@pytest.fixture(scope='module')
def benchmark(load_tool):
    return load_tool('analysis_tools/benchmark_step.py')


@pytest.fixture(scope='module')
def bench(benchmark, tmp_path_factory):
    cfg = Config.fromfile(CONFIG)
    cfg.model.teacher_ckpt = None
    # Each step searches, so that a step and what repeats it make the same calls.
    cfg.default_hooks.boundary_samples.reuse = 1
    cfg.work_dir = str(tmp_path_factory.mktemp('bench'))
    cfg.log_level = 'ERROR'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return benchmark.Bench(cfg)


@pytest.fixture
def batch(bench):
    ((batch, seconds),) = bench.load(1)
    assert seconds > 0
    # Only what the teacher gets right is attacked, and a random one gets little right.
    data = bench.model.data_preprocessor(batch, False)
    with torch.no_grad():
        classes = bench.model.teacher(data['inputs'], mode='tensor').argmax(1)
    for sample, label in zip(batch['data_samples'], classes, strict=True):
        sample.set_gt_label(label)
    return batch


def count_calls(network, rows):
    """Note the rows of each forward call, and whether its result is differentiated."""
    return network.head.register_forward_hook(
        lambda module, args, output: rows.append((len(output), output.requires_grad))
    )


def test_passes_alone_make_the_calls_of_the_step(bench, batch, monkeypatch):
    """The same rows through the same networks, with the same gradients, in the same order."""
    model = bench.model
    differentiated = []
    grad = torch.autograd.grad

    def counted(outputs, inputs, **kwargs):
        differentiated.append(len(inputs))
        return grad(outputs, inputs, **kwargs)

    monkeypatch.setattr(torch.autograd, 'grad', counted)
    bench.amkd(batch)
    found = {}
    for name in ('amkd', 'alone'):
        rows = dict(teacher=[], student=[])
        handles = [count_calls(getattr(model, key), rows[key]) for key in rows]
        if name == 'amkd':
            differentiated.clear()
            bench.amkd(batch)
        else:
            for handle in handles:
                handle.remove()
            passes = bench.passes_of(batch)
            handles = [count_calls(getattr(model, key), rows[key]) for key in rows]
            differentiated.clear()
            bench.passes_alone(passes)
        for handle in handles:
            handle.remove()
        found[name] = rows, list(differentiated)
    assert found['alone'] == found['amkd']
    assert found['amkd'][1]


def test_the_batch_is_left_as_it_was(bench, batch):
    before = len(batch['inputs']), len(batch['data_samples'])
    for step in (bench.amkd, bench.kd, bench.student, bench.split, bench.passes_of):
        step(batch)
        assert (len(batch['inputs']), len(batch['data_samples'])) == before


def test_weights_stay(bench, batch):
    """Otherwise later steps would meet another student."""
    before = [p.detach().clone() for p in bench.model.parameters()]
    bench.amkd(batch)
    after = list(bench.model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_parts_are_parts_of_the_whole(benchmark, bench, batch, monkeypatch):
    """Of a clock that only moves in the teacher's passes, the teacher's part is all."""
    clock = [0.0]
    monkeypatch.setattr(benchmark, 'now', lambda: clock[0])
    run_teacher = bench.model._run_teacher

    def slow(*args):
        clock[0] += 1.0
        return run_teacher(*args)

    bench.model._run_teacher = slow
    try:
        parts = bench.split(batch)
    finally:
        del bench.model._run_teacher
    # The search knows its logits at the samples.
    assert parts.pop('teacher') == 1.0
    assert set(parts.values()) == {0.0}
    assert set(parts) == {
        'boundary search',
        'student forward',
        'backward',
        'optimiser',
        'losses and the rest',
    }


def test_a_cycle_has_one_search(benchmark, tmp_path):
    """Which the step makes, and again what lists its passes and what tells its parts."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.teacher_ckpt = None
    cfg.default_hooks.boundary_samples.reuse = 3
    cfg.work_dir, cfg.log_level = str(tmp_path), 'ERROR'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        bench = benchmark.Bench(cfg)
    sampler, calls = bench.hook.sampler.sampler, []
    bench.hook.sampler.sampler = counted(sampler, calls)
    kinds, parts, rows = benchmark.measure(bench, steps=2, warmup=1)
    assert len(calls) == 3 * (2 + 1)
    assert len(rows) == 2
    assert {len(values) for values in (*kinds.values(), *parts.values())} == {2}


def counted(sampler, calls):
    """The same sampler, with a list of its calls."""

    def call(*args):
        calls.append(args)
        return sampler(*args)

    call.needs_student = sampler.needs_student
    return call


@pytest.mark.skipif(torch.cuda.is_available(), reason='of a CPU')
def test_peak_memory(bench):
    """The most that lives at once, not all that was ever made."""
    kept = bench.resident_bytes()
    count = 2**20

    def step(batch):
        first = torch.zeros(count)
        second = torch.zeros(2 * count)
        del first
        third = torch.zeros(count // 2)
        del second, third

    assert bench.peak_bytes(step, None) == pytest.approx(kept + 4 * 3 * count, rel=0.01)


def test_tables(benchmark, tmp_path, monkeypatch, capsys):
    arguments = [str(CONFIG), '--steps', '2', '--warmup', '1', '--cfg-options']
    arguments += ['model.teacher_ckpt=None', 'default_hooks.boundary_samples.student_correct=False']
    arguments += ['--json', str(tmp_path / 'figures.json')]
    monkeypatch.setattr(sys, 'argv', ['benchmark_step.py', *arguments])
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        benchmark.main()
    text = capsys.readouterr().out
    tables = [
        {row.split('|')[1].strip(): row.split('|')[2:-1] for row in part.splitlines()[2:]}
        for part in text[text.index('| whole') :].split('\n\n')
    ]
    trainings, steps, parts, memory = tables
    assert list(trainings)[:3] == ['AMKD, Runner', 'KD, Runner', 'KD, bare PyTorch']
    assert float(trainings['KD, Runner'][1]) == 1
    assert list(steps) == [benchmark.AMKD, benchmark.PASSES, benchmark.KD, benchmark.STUDENT]
    assert float(steps[benchmark.PASSES][1]) == 1
    assert float(steps[benchmark.STUDENT][1]) < 1
    assert statistics.fsum(float(row[1]) for row in parts.values()) == pytest.approx(1, abs=0.1)
    assert float(memory[benchmark.AMKD][1]) >= 1
    # The same figures for programs
    figures = json.loads((tmp_path / 'figures.json').read_text())
    for name, row in trainings.items():
        seconds = figures['iterations'][name]
        assert len(seconds) == 2
        assert float(row[2]) == pytest.approx(64 / statistics.median(seconds), abs=0.5)
    for name, row in steps.items():
        assert f'{1000 * statistics.median(figures["steps"][name]):.1f} (' in row[0]
        assert len(figures['steps'][name]) == 2
    assert {name: f'{peak / 2**20:.0f}' for name, peak in figures['peaks'].items()} == {
        name: row[0].strip() for name, row in memory.items()
    }
    assert list(figures['parts']) == list(parts)
    assert (figures['batch_size'], len(figures['boundary_samples'])) == (64, 2)


def test_config_without_boundary_samples(benchmark, monkeypatch, capsys):
    config = ROOT / 'configs/kd/kd_logits_resnet26_resnet8_1xb64_digits.py'
    arguments = [str(config), '--cfg-options', 'model.teacher_ckpt=None']
    monkeypatch.setattr(sys, 'argv', ['benchmark_step.py', *arguments])
    with DefaultScope.overwrite_default_scope('mmpretrain'), pytest.raises(SystemExit) as error:
        benchmark.main()
    assert 'BoundarySampleHook' in str(error.value)
