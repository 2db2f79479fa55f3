"""The benchmark tool: what it counts, compares, trains and leaves alone."""

import csv
import io
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from mmengine.config import Config
from scipy import stats

from amkd_mm.benchmarking import (
    BenchmarkError,
    Run,
    Setting,
    draw_bars,
    draw_curves,
    find_prerequisites,
    fingerprint,
    is_complete,
    load_config,
    mean_and_std,
    measured,
    paired_gain,
    read_run,
    read_scalars,
    span_of,
    summarise,
    write_tables,
)
from amkd_mm.benchmarking import progress as progress_module
from amkd_mm.benchmarking.complexity import networks_of
from amkd_mm.benchmarking.plots import short_names
from amkd_mm.benchmarking.progress import Progress, reached_by
from amkd_mm.benchmarking.running import LOG, TAIL, Job, Training, error_of, train_all
from amkd_mm.benchmarking.settings import checkpoints_read
from amkd_mm.folder_lock import lock

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'


@pytest.fixture
def benchmark(load_tool):
    return load_tool('benchmark.py')


# Statistics


def test_mean_and_std():
    found = mean_and_std([90.0, 92.0, 97.0])
    # Squared distances from 93: 9, 1 and 16, divided by 2.
    assert found == dict(mean=93.0, std=pytest.approx(13**0.5), n=3)
    assert mean_and_std([90.0]) == dict(mean=90.0, std=None, n=1)
    assert mean_and_std([]) is None


def test_paired_gain_is_that_of_scipy():
    values = {0: 91.0, 1: 93.5, 2: 90.0, 5: 96.0}
    baseline = {5: 94.0, 2: 90.5, 1: 91.0, 0: 90.0}
    seeds = sorted(values)
    expected = stats.ttest_rel([values[s] for s in seeds], [baseline[s] for s in seeds])
    low, high = expected.confidence_interval(0.95)
    found = paired_gain(values, baseline)
    assert found == dict(
        mean=pytest.approx(1.25), low=pytest.approx(low), high=pytest.approx(high), n=4
    )
    # Only seeds that both have count.
    assert paired_gain({**values, 7: 0.0}, {**baseline, 8: 100.0}) == found


def test_paired_gain_needs_two_pairs_for_an_interval():
    assert paired_gain({0: 91.0, 1: 50.0}, {0: 90.0}) == dict(mean=1.0, low=None, high=None, n=1)
    assert paired_gain({0: 91.0}, {1: 90.0}) is None


# Comparison and tables


def network(identity, parameters=0.5, macs=12.0):
    return dict(parameters=parameters, macs=macs, identity=identity)


def setting(stem, teacher='t', student='s', data='digits', **kwargs):
    networks = dict(student=network(student), teacher=teacher and network(teacher))
    networks['alone'] = stem == 'net'
    config = Path(f'/configs/{stem}.py')
    return Setting(stem, config, Path('/runs') / stem, networks=networks, data=data, **kwargs)


def runs_of(name, *curves, teacher=None, **kwargs):
    return [
        Run(
            name,
            seed,
            f'/runs/{name}/seed_{seed}',
            curve=dict(enumerate(curve, 1)),
            teacher=teacher,
            epoch_seconds=[1.0 + seed, 2.0 + seed],
            peak_memory_mib=100.0 * (seed + 1),
            memory_kind='GPU',
            **kwargs,
        )
        for seed, curve in enumerate(curves)
    ]


SETTINGS = [
    setting('net', teacher=None),
    setting('kd_logits_pair'),
    setting('amkd_pair'),
    setting('amkd_other_student', student='x'),
    setting('amkd_other_teacher', teacher='x'),
    setting('amkd_other_data', data='cifar'),
    setting('self_distillation', teacher=None),
]
RUNS = [
    *runs_of('net', [50, 80], [60, 82]),
    *runs_of('kd_logits_pair', [90, 85], [70, 88], teacher=97.5),
    *runs_of('amkd_pair', [60, 86], [90, 89.5], teacher=97.5),
    *(r for s in SETTINGS[3:] for r in runs_of(s.name, [60, 86], [90, 89.5], teacher=97.5)),
]


def test_summary():
    rows = {row['config']: row for row in summarise(SETTINGS, RUNS)}
    amkd = rows['amkd_pair']
    assert amkd['last']['mean'] == pytest.approx(87.75)
    assert amkd['best']['mean'] == pytest.approx(88.0)
    assert amkd['last']['std'] == pytest.approx(3.5 / 2**0.5)
    assert amkd['best']['std'] == pytest.approx(4 / 2**0.5)
    assert amkd['alone']['mean'] == 81
    assert amkd['gain_over_kd']['mean'] == pytest.approx((1 + 1.5) / 2)
    assert amkd['epoch_seconds'] == 2.0  # median of 1, 2, 2 and 3
    assert amkd['peak_memory_mib'] == 200
    # KD and the student alone have no gain over KD, and the latter is not compared with itself.
    assert rows['kd_logits_pair']['gain_over_kd'] is None
    assert rows['kd_logits_pair']['alone']['mean'] == 81
    assert rows['net']['alone'] is None and rows['net']['gain_over_kd'] is None
    # Only what has the same networks and data is compared.
    assert rows['amkd_other_student']['alone'] is rows['amkd_other_student']['gain_over_kd'] is None
    assert rows['amkd_other_teacher']['alone']['mean'] == 81
    assert rows['amkd_other_teacher']['gain_over_kd'] is None
    # Without a teacher, but with distillation.
    assert rows['self_distillation']['alone']['mean'] == 81
    assert rows['amkd_other_data']['alone'] is rows['amkd_other_data']['gain_over_kd'] is None


def test_unknown_networks_are_not_compared():
    unknown = [Setting(s.name, s.config, s.folder, data=s.data) for s in SETTINGS]
    for row in summarise(unknown, RUNS):
        assert row['alone'] is None and row['gain_over_kd'] is None


def table_of(text):
    lines = [line.strip('| ').split(' | ') for line in text.split('\n\n')[0].splitlines()]
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[2:]}


def test_tables(tmp_path):
    failed = Run(
        'amkd_pair', 2, '/runs/amkd_pair/seed_2', 'failed', 'exit code 1, see x\n    a\n    boom'
    )
    waiting = Run('net', 2, '/runs/net/seed_2', 'waiting')
    runs = [*RUNS, failed, waiting]
    text = write_tables(tmp_path, summarise(SETTINGS[:3], runs), runs)
    assert text == (tmp_path / 'results.md').read_text()
    table = table_of(text)
    assert list(table) == ['net', 'kd_logits_pair', 'amkd_pair']
    row = table['amkd_pair']
    assert row['seeds'] == '2 of 3'
    assert row['last epoch (%)'] == '87.75 ± 2.47'
    assert row['best epoch (%)'] == '88.00 ± 2.83'
    assert row['teacher (%)'] == '97.50'
    assert row['alone (%)'] == '81.00 ± 1.41'
    # t of one degree of freedom is 12.706; the standard error of 1 and 1.5 is 0.25.
    assert row['gain over KD (points)'] == '+1.25 (-1.93 to +4.43)'
    assert row['s an epoch'] == '2'
    assert row['memory (MiB)'] == '200 (GPU)'
    assert row['student: M parameters, M MACs'] == '0.5, 12'
    assert table['net']['teacher (%)'] == table['net']['teacher: M parameters, M MACs'] == '-'
    assert '- amkd_pair, seed 2: exit code 1, see x: `boom`\n' in text

    (_, _, line) = csv.DictReader((tmp_path / 'results.csv').open())
    assert float(line['last_top1_mean_percent']) == 87.75
    assert float(line['gain_over_kd_low_points']) == pytest.approx(1.25 - 12.7062 / 4, abs=1e-4)
    assert json.loads((tmp_path / 'results.json').read_text())[2]['seeds'] == [0, 1]
    lines = [json.loads(line) for line in (tmp_path / 'runs.jsonl').read_text().splitlines()]
    assert len(lines) == len(RUNS) + 1
    assert lines[2]['last'] == 85 and lines[2]['best'] == 90
    assert lines[-1]['error'].endswith('boom')


def test_one_seed_has_no_spread_and_no_interval(tmp_path):
    runs = [run for run in RUNS if run.seed == 0]
    row = table_of(write_tables(tmp_path, summarise(SETTINGS[:3], runs), runs))['amkd_pair']
    assert row['seeds'] == '1'
    assert row['last epoch (%)'] == '86.00'
    assert row['gain over KD (points)'] == '-'


# Pictures


def test_short_names():
    names = ['resnet8_1xb64_digits', 'kd_resnet26_resnet8_1xb64_digits']
    assert short_names(names) == (['resnet8', 'kd_resnet26_resnet8'], '1xb64_digits')
    assert short_names(['a_b', 'c_d']) == (['a_b', 'c_d'], '')
    assert short_names(['a_b']) == (['a_b'], '')
    assert short_names(['a_b', 'a_b']) == (['a', 'a'], 'b')


def test_bars():
    """A panel for each student and its data: last and best epoch, spread and single runs."""
    figure = draw_bars(SETTINGS[:4], RUNS)
    axes, other = figure.axes
    bars = {round(bar.get_y() + bar.get_height() / 2, 2): bar.get_width() for bar in axes.patches}
    assert bars[1 - 0.19] == 86.5 and bars[1 + 0.19] == 89.0
    assert bars[2 - 0.19] == 87.75 and bars[2 + 0.19] == 88.0
    errors = [line.get_segments()[0] for line in axes.collections if hasattr(line, 'get_segments')]
    widths = sorted(round(float(np.ptp(segment[:, 0])) / 2, 3) for segment in errors)
    lasts_and_bests = [[80, 82], [80, 82], [85, 88], [90, 88], [86, 89.5], [86, 90]]
    assert widths == sorted(round(statistics.stdev(values), 3) for values in lasts_and_bests)
    assert len(other.patches) == 2
    # The teacher's line.
    assert any(list(line.get_xdata()) == [97.5, 97.5] for line in axes.lines)
    figure.canvas.draw()


def test_curves():
    figure = draw_curves(SETTINGS[:3], RUNS)
    whole, _ = figure.axes
    drawn = {line.get_label(): line for line in whole.lines}
    line = drawn['amkd_pair (2 seeds)']
    assert list(line.get_xdata()) == [1, 2] and list(line.get_ydata()) == [75, 87.75]
    assert 'teacher (97.5%)' in drawn
    assert len({line.get_color() for line in whole.lines}) == 4
    assert len(whole.collections) == 3  # the bands
    figure.canvas.draw()


def test_end_of_curves():
    settings = [setting('net', length=6)]
    _, end = draw_curves(settings, runs_of('net', [1, 2, 3, 4, 5, 6])).axes
    assert list(end.lines[0].get_ydata()) == [4, 5, 6]


def test_pictures_of_one_run_and_of_many_configs():
    many = [setting(f'config{n}') for n in range(9)]
    runs = [run for s in many for run in runs_of(s.name, [1, 2])]
    for draw in (draw_bars, draw_curves):
        draw(many[:1], runs).canvas.draw()
        draw(many, runs).canvas.draw()
    lines = draw_curves(many, runs).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9


# What runs leave


def test_a_picture_that_fails_ends_no_benchmark(benchmark, tmp_path, monkeypatch, capsys):
    """The table is there, and the other picture."""

    def fail(settings, runs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(benchmark, 'draw_bars', fail)
    assert 'kd_logits_pair' in benchmark.report(tmp_path, SETTINGS[:2], RUNS[:4])
    said = capsys.readouterr().out
    assert said == 'accuracy.png could not be drawn: OSError: [Errno 28] No space left on device\n'
    assert (tmp_path / 'curves.png').is_file() and not (tmp_path / 'accuracy.png').exists()


def write_run(folder, stamp, accuracies, first=1, unit='epoch', checkpoint=None, extra=None):
    """What MMEngine leaves of a run with 4 iterations an epoch, started or resumed at ``stamp``."""
    data = folder / stamp / 'vis_data'
    data.mkdir(parents=True)
    lines = []
    for n, accuracy in enumerate(accuracies, first):
        lines.append(dict(time=0.1 * n, loss=1.0, iter=4 * n, step=4 * n, **(extra or {})))
        step = n if unit == 'epoch' else 4 * n
        lines.append({'accuracy/top1': accuracy, 'teacher.accuracy/top1': 97.5, 'step': step})
    (data / 'scalars.json').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    if unit == 'epoch':
        line = f'INFO - Epoch(train)  [{first}][4/4]  lr: 0.1'
        (folder / stamp / f'{stamp}.log').write_text(line + '\n')
    if checkpoint:
        zipfile.ZipFile(folder / checkpoint, 'w').close()
        # Absolute, and wrong once the folder has been moved.
        (folder / 'last_checkpoint').write_text(f'/elsewhere/{checkpoint}')


def test_newest_results_of_a_resumed_run_count(tmp_path):
    write_run(tmp_path, '20260102_000000', [70.0, 80.0], first=2)
    write_run(tmp_path, '20260101_000000', [50.0, 60.0])
    scalars = tmp_path / '20260102_000000/vis_data/scalars.json'
    scalars.write_text(scalars.read_text() + '{"accuracy/top1": 99.0, "st')
    training, validation = read_scalars(tmp_path)
    accuracies = {step: line['accuracy/top1'] for step, line in validation.items()}
    assert accuracies == {1: 50.0, 2: 70.0, 3: 80.0}
    assert list(training) == [4, 8, 12]


@pytest.mark.parametrize(
    ('accuracies', 'unit', 'checkpoint', 'length', 'complete'),
    [
        ([50.0, 60.0], 'epoch', 'epoch_2.pth', 2, True),
        ([50.0, 60.0], 'epoch', 'epoch_2.pth', 3, False),
        ([50.0, 60.0], 'epoch', 'epoch_1.pth', 2, False),
        ([50.0], 'epoch', 'epoch_2.pth', 2, False),
        ([50.0, 60.0], 'epoch', None, 2, False),
        ([50.0, 60.0], 'iter', 'iter_8.pth', 8, True),
        ([50.0, 60.0], 'iter', 'iter_8.pth', 12, False),
    ],
)
def test_complete(tmp_path, accuracies, unit, checkpoint, length, complete):
    write_run(tmp_path, '20260101_000000', accuracies, unit=unit, checkpoint=checkpoint)
    assert is_complete(tmp_path, unit, length) is complete


def test_a_run_whose_checkpoint_was_deleted_is_not_complete(tmp_path):
    write_run(tmp_path, '20260101_000000', [50.0], checkpoint='epoch_1.pth')
    assert is_complete(tmp_path, 'epoch', 1)
    (tmp_path / 'epoch_1.pth').unlink()
    assert not is_complete(tmp_path, 'epoch', 1)


def test_read_run(tmp_path):
    write_run(tmp_path, '20260101_000000', [50.0, 80.0, 60.0], checkpoint='epoch_3.pth')
    notes = [dict(seconds=5.0, peak_rss_mib=300.0), dict(seconds=7.0, peak_rss_mib=200.0)]
    (tmp_path / 'processes.jsonl').write_text('\n'.join(map(json.dumps, notes)))
    run = read_run(setting('x', length=3), 1, tmp_path)
    assert (run.last, run.best, run.teacher, run.seed) == (60.0, 80.0, 97.5, 1)
    assert run.epoch_seconds == pytest.approx([0.4, 0.8, 1.2])
    assert (run.seconds, run.peak_memory_mib, run.memory_kind) == (12.0, 300.0, 'process')


def test_self_distillation_names_its_accuracy_otherwise(tmp_path):
    write_run(tmp_path, '20260101_000000', [50.0, 60.0], checkpoint='epoch_2.pth')
    path = tmp_path / '20260101_000000/vis_data/scalars.json'
    path.write_text(path.read_text().replace('"accuracy/top1"', '"student.accuracy/top1"'))
    assert is_complete(tmp_path, 'epoch', 2)
    assert read_run(setting('x', length=2), 0, tmp_path).curve == {1: 50.0, 2: 60.0}


def test_memory_of_the_gpu_is_preferred(tmp_path):
    write_run(tmp_path, '20260101_000000', [50.0], extra=dict(memory=77))
    (tmp_path / 'processes.jsonl').write_text(json.dumps(dict(seconds=1, peak_rss_mib=300.0)))
    run = read_run(setting('x'), 0, tmp_path)
    assert (run.peak_memory_mib, run.memory_kind) == (77.0, 'GPU')


def test_time_of_training_by_iterations(tmp_path):
    """It is that of a validation interval, here of 8 iterations."""
    write_run(tmp_path, '20260101_000000', [50.0, 60.0, 70.0, 80.0], unit='iter')
    run = read_run(setting('x', unit='iter', length=16, val_interval=8), 0, tmp_path)
    assert run.epoch_seconds == pytest.approx([8 * 0.15, 8 * 0.35])
    assert max(run.curve) == 16


def test_measured_memory_is_not_that_of_the_starting_process(tmp_path):
    """A child's peak counts from its parent's, and this process is large: so a small one starts."""
    ballast = bytearray(os.urandom(2**20)) * 400
    command = [sys.executable, '-I', '-S', measured.__file__, tmp_path / 'notes']
    code = 'x = bytearray(b"1") * (60 * 2**20); raise SystemExit(5)'
    done = subprocess.run([*command, sys.executable, '-I', '-S', '-c', code])
    assert done.returncode == 5 and len(ballast)
    note = json.loads((tmp_path / 'notes').read_text())
    assert 60 < note['peak_rss_mib'] < 150
    assert note['exit_code'] == 5 and note['seconds'] > 0


def test_networks_are_counted():
    cfg = load_config(DIGITS, ['model.teacher_ckpt=None', 'model.teacher_input_size=16'])
    sizes = networks_of(cfg)
    small = networks_of(load_config(ROOT / 'configs/vanilla/resnet8_1xb64_digits.py'))
    assert small['teacher'] is None
    assert sizes['student'] == small['student']
    assert small['alone'] and not sizes['alone']
    assert sizes['student']['identity'] != sizes['teacher']['identity']
    # ResNet8 at 8 x 8: convolutions of 3 x 3 with and without a stride, shortcuts, classifier.
    stage1 = 3 * 16 * 9 * 64 + 2 * 16 * 16 * 9 * 64
    stage2 = 16 * 32 * 9 * 16 + 32 * 32 * 9 * 16 + 16 * 32 * 16
    stage3 = 32 * 64 * 9 * 4 + 64 * 64 * 9 * 4 + 32 * 64 * 4
    macs = (stage1 + stage2 + stage3 + 64 * 10) / 1e6
    # Pooling is counted, too, and little.
    assert sizes['student']['macs'] == pytest.approx(macs, rel=0.02)
    # The teacher sees four times as many pixels as the student.
    plain = networks_of(load_config(DIGITS, ['model.teacher_ckpt=None']))
    assert sizes['teacher']['macs'] == pytest.approx(4 * plain['teacher']['macs'], rel=0.01)


# Configs


def test_span_of():
    assert span_of(dict(by_epoch=True, max_epochs=5)) == ('epoch', 5)
    assert span_of(dict(type='EpochBasedTrainLoop', max_epochs=5)) == ('epoch', 5)
    assert span_of(dict(by_epoch=False, max_iters=50)) == ('iter', 50)
    assert span_of(dict(type='mmengine.IterBasedTrainLoop', max_iters=50)) == ('iter', 50)


def test_fingerprint(tmp_path):
    checkpoint = tmp_path / 'teacher.pth'
    checkpoint.write_bytes(b'1')

    def found(*options, processes=1):
        options = [f'model.teacher_ckpt={checkpoint}', *options]
        return fingerprint(load_config(DIGITS, options), processes)

    first = found()
    assert found('randomness.seed=5') == found('work_dir=x') == first
    # Nor does a seed count for a config that has none.
    alone = ROOT / 'configs/vanilla/resnet8_1xb256_cifar10.py'
    prints = {fingerprint(load_config(alone, seed)) for seed in ([], ['randomness.seed=5'])}
    assert len(prints) == 1
    others = {found('train_cfg.max_epochs=1'), found('optim_wrapper.optimizer.lr=1.')}
    others |= {found(processes=2)}
    checkpoint.write_bytes(b'2')
    assert len(others | {first, found()}) == 5


def test_settings_get_folders_of_their_own(benchmark, tmp_path):
    one, two = dict(fingerprint='1' * 40), dict(fingerprint='2' * 40)
    assert benchmark.folder_of(tmp_path, one) == tmp_path
    assert benchmark.folder_of(tmp_path, two) == tmp_path / '22222222'
    assert benchmark.folder_of(tmp_path, one) == tmp_path
    assert benchmark.folder_of(tmp_path, two) == tmp_path / '22222222'


CONFIG = """
model = dict(type='Net', name='{stem}'{model})
train_cfg = dict(by_epoch=True, max_epochs={epochs})
val_dataloader = dict(dataset=dict(type='Data'))
randomness = dict(seed=None)
{rest}
"""


def write_config(root, name, model='', epochs=2, rest=''):
    path = root / 'configs' / f'{name}.py'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONFIG.format(stem=path.stem, model=model, epochs=epochs, rest=rest))
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Configs that need each other, as ours do: KD and AMKD a teacher, that another one."""
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, 'vanilla/grand', epochs=3)
    write_config(tmp_path, 'vanilla/small')
    write_config(
        tmp_path,
        'two/teacher',
        ", init_cfg=dict(type='Pretrained', checkpoint='work_dirs/grand/epoch_3.pth')",
    )
    for name in ('kd/kd_logits_pair', 'amkd/amkd_pair'):
        write_config(tmp_path, name, ", teacher_ckpt='work_dirs/teacher/epoch_2.pth'")
    return tmp_path


def prerequisites(config):
    found = find_prerequisites(config, load_config(config), ROOT / 'configs', {})
    return {str(checkpoint): writer.stem for checkpoint, writer in found.items()}


def test_prerequisites_in_the_order_of_need(project):
    expected = {
        'work_dirs/grand/epoch_3.pth': 'grand',
        'work_dirs/teacher/epoch_2.pth': 'teacher',
    }
    found = prerequisites(project / 'configs/amkd/amkd_pair.py')
    assert list(found.items()) == list(expected.items())
    (project / 'work_dirs/teacher').mkdir(parents=True)
    (project / 'work_dirs/teacher/epoch_2.pth').write_bytes(b'')
    assert prerequisites(project / 'configs/amkd/amkd_pair.py') == {}


@pytest.mark.parametrize(
    ('model', 'rest'),
    [
        (", teachers=dict(a=dict(build_cfg=dict(), ckpt_path='work_dirs/small/epoch_2.pth'))", ''),
        ('', "load_from = './work_dirs/small/epoch_2.pth'"),
        (
            ", architecture=dict(backbone=dict(init_cfg=[dict(type='Pretrained', "
            "checkpoint='work_dirs/small/epoch_2.pth')]))",
            '',
        ),
    ],
)
def test_kinds_of_prerequisites(project, model, rest):
    config = write_config(project, 'x/needs', model, rest=rest)
    assert prerequisites(config) == {'work_dirs/small/epoch_2.pth': 'small'}


def test_urls_and_nothing_are_no_prerequisites(project):
    model = ", teacher_ckpt='https://host/epoch_2.pth', a=dict(ckpt_path=None)"
    config = write_config(project, 'x/needs', model, rest="load_from = 'torchvision://resnet50'")
    assert checkpoints_read(load_config(config)) == []


def test_shipped_configs_serve_configs_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = ", teacher_ckpt='work_dirs/resnet26_1xb64_digits/epoch_12.pth'"
    config = write_config(tmp_path, 'x/mine', model).rename(tmp_path / 'mine.py')
    assert list(prerequisites(config).values()) == ['resnet26_1xb64_digits']


@pytest.mark.parametrize(
    ('checkpoint', 'message'),
    [
        ('work_dirs/nothing/epoch_2.pth', 'no nothing.py'),
        ('epoch_2.pth', 'no config writes'),
        ('work_dirs/small/epoch_9.pth', 'ends with epoch_2.pth'),
        ('work_dirs/needs/epoch_2.pth', 'would need work_dirs/needs/epoch_2.pth'),
    ],
)
def test_missing_checkpoints_that_cannot_be_trained(project, checkpoint, message):
    config = write_config(project, 'x/needs', f", teacher_ckpt='{checkpoint}'")
    with pytest.raises(BenchmarkError, match=re.escape(message)):
        prerequisites(config)


# Command lines


def arguments(**kwargs):
    defaults = dict(launcher='none', jobs=1, nproc=1, gpus_per_node=8, partition='gpu')
    return Namespace(**{**defaults, **kwargs})


@pytest.fixture
def job(tmp_path):
    return Job('x', Path('/c/x.py'), tmp_path / 'seed_3', 'epoch', 2, 3, ('a.b=1', 'c=[2,3]'))


OPTIONS = ['--cfg-options', 'a.b=1', 'c=[2,3]', 'randomness.seed=3']


def test_command_line(benchmark, job):
    command, _ = benchmark.command_of(arguments(), job, 0)
    folder = ['--work-dir', str(job.folder)]
    assert command == [sys.executable, str(ROOT / 'tools/train.py'), '/c/x.py', *folder, *OPTIONS]
    write_run(job.folder, '20260101_000000', [1.0], checkpoint='epoch_1.pth')
    command, _ = benchmark.command_of(arguments(), job, 0)
    assert command[5:7] == ['--resume', str(job.folder / 'epoch_1.pth')]
    assert command[7:] == OPTIONS


def run_with_stub(monkeypatch, tmp_path, name, build):
    """Run the launcher's own script, with a program in place of the one that it starts."""
    stub = tmp_path / 'bin' / name
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    stub.chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(stub.parent / 'python'))
    command, env = build()
    env = {**os.environ, **env}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_launcher_pytorch(benchmark, job, monkeypatch, tmp_path):
    args = arguments(launcher='pytorch', nproc=2, jobs=3)
    monkeypatch.delenv('PORT', raising=False)
    words = run_with_stub(
        monkeypatch, tmp_path, 'python', lambda: benchmark.command_of(args, job, 1)
    )
    assert '--nproc_per_node=2' in words and '--master_port=29501' in words
    train = [str(ROOT / 'tools/train.py'), '/c/x.py', '--launcher', 'pytorch']
    assert words[-len(train) - 6 :] == [*train, '--work-dir', str(job.folder), *OPTIONS]


def test_launcher_slurm(benchmark, job, monkeypatch, tmp_path):
    args = arguments(launcher='slurm', nproc=16, gpus_per_node=4)
    monkeypatch.delenv('MASTER_PORT', raising=False)
    # Jobs on one node need ports of their own.
    assert benchmark.command_of(args, job, 2)[1]['MASTER_PORT'] == '29502'
    words = run_with_stub(monkeypatch, tmp_path, 'srun', lambda: benchmark.command_of(args, job, 0))
    assert words[:5] == ['-p', 'gpu', '--job-name=x', '--gres=gpu:4', '--ntasks=16']
    train = [str(ROOT / 'tools/train.py'), '/c/x.py', f'--work-dir={job.folder}']
    assert words[-len(train) - 5 :] == [*train, '--launcher=slurm', *OPTIONS]


def test_jobs_share_the_machine(benchmark, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,5,6,7,8')
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr(os, 'cpu_count', lambda: 16)
    args = arguments(jobs=3, nproc=2)
    found = [benchmark.share_of_machine(args, slot) for slot in range(3)]
    assert [env['CUDA_VISIBLE_DEVICES'] for env in found] == ['4,5', '6,7', '4,5']
    assert {env['OMP_NUM_THREADS'] for env in found} == {'2'}
    # Too few to share, and threads that the user chose.
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4')
    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    assert benchmark.share_of_machine(args, 1) == {}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--launcher', 'pytorch'], 'needs --nproc'),
        (['--launcher', 'slurm', '--nproc', '8'], 'needs --partition'),
        (['--cfg-options', 'randomness.seed=1'], 'by --seeds'),
        (['nothing.py'], 'CONFIG: no such file: nothing.py'),
    ],
)
def test_mistakes(benchmark, monkeypatch, capsys, options, message):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', str(DIGITS), *options])
    with pytest.raises(SystemExit) as error:
        benchmark.main()
    assert error.value.code == 2
    assert message in capsys.readouterr().err


# Running


def training(name, seconds, folder):
    return Training(Job(name, Path(name), folder, 'epoch', 2), None, time.time() - seconds)


def test_remaining_time(tmp_path):
    progress = Progress(6, slots=2)
    running, waiting = [training('a', 4, tmp_path)], [training('b', 0, tmp_path).job] * 3
    assert progress.remaining(running, waiting, [0]) is None
    progress.seconds = {Path('a'): [10, 20], Path('c'): [60]}
    # 11 s of the mean of 15 s are left, and `b` takes the mean of all, 30 s; two at a time.
    assert progress.remaining(running, waiting, [0]) == pytest.approx((11 + 3 * 30) / 2, abs=0.1)
    # Not sooner than the longest.
    progress.seconds = {Path('a'): [100]}
    assert progress.remaining(running, [], [0]) == pytest.approx(96, abs=0.1)


def write_log(folder, steps, iterations=50):
    """What MMEngine has written after these iterations, in epochs of 50."""
    logs = folder / '20260101_000000' / 'vis_data'
    logs.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(dict(loss=1.0, iter=n, step=n)) + '\n' for n in steps]
    (logs / 'scalars.json').write_text(''.join(lines))
    (logs.parent / 'run.log').write_text(f'Epoch(train)  [1][10/{iterations}]  lr: 0.1\n')


def test_remaining_time_within_the_first_run(tmp_path):
    """10 s for 10 of 100 iterations since the run was first seen, at iteration 20."""
    progress, running = Progress(3, slots=1), training('a', 10, tmp_path)

    def left(waiting):
        return progress.remaining([running], waiting, [reached_by(running)])

    write_log(tmp_path, [20])
    assert left([]) is None
    write_log(tmp_path, [20, 30])
    assert left([]) == pytest.approx(70, abs=0.5)
    # The next takes the 80 s that this one takes from here on.
    assert left([running.job]) == pytest.approx(150, abs=1)


class Screen(io.StringIO):
    """A terminal, and what it shows."""

    def isatty(self):
        return True

    def rows(self):
        shown = []
        for row in self.getvalue().split('\n'):
            text = ''
            for part in row.split('\r'):
                text = part + text[len(part) :]
            shown.append(text.rstrip())
        return shown


def test_a_terminal_shows_how_far_a_run_is(tmp_path, monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, 'stdout', screen)
    monkeypatch.setattr(progress_module, 'LOOK', 0)
    progress, running = Progress(2, slots=1), training('a', 10, tmp_path)
    for steps in ([], [20], [20, 30], [20, 30, 50]):
        write_log(tmp_path, steps)
        progress.show([running], [])
    (row,) = screen.rows()
    assert row.startswith('0/2 done') and 'a, seed 0 (epoch 1 of 2)' in row
    # One epoch in 10 s.
    assert '0:00:10 left' in row
    progress.ended(running.job, 'exit code 1', False)
    assert screen.rows() == ['[1/2] a, seed 0: FAILED, exit code 1', '']


def test_a_file_gets_a_line_a_run(tmp_path, capsys):
    progress, running = Progress(2, slots=1), training('a', 10, tmp_path)
    for steps in ([], [20], [20, 30]):
        write_log(tmp_path, steps)
        progress.show([running], [])
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_folder_is_not_trained_in_twice(tmp_path):
    """What another process trains is waited for, and not trained again when it is complete."""
    job = Job('x', Path('x.py'), tmp_path, 'epoch', 1)
    held = lock(tmp_path / '.lock')
    assert lock(tmp_path / '.lock') is None

    def other():
        write_run(tmp_path, '20260101_000000', [1.0], checkpoint='epoch_1.pth')
        held.close()

    ended = []
    timer = threading.Timer(0.5, other)
    timer.start()
    train_all(
        [job], 1, lambda *_: pytest.fail('trained'), lambda *a: ended.append(a), lambda *_: None
    )
    timer.join()
    assert ended == [(job, None, True)]


def test_error_of_a_launched_run_is_that_of_the_run(tmp_path):
    """Not the summary that torch's launcher puts behind it."""
    job = Job('x', Path('x.py'), tmp_path, 'epoch', 1)
    own = [f'[rank0]: line {n}' for n in range(30)] + ['[rank0]: ValueError: boom']
    launcher = ['E11 torch/distributed/elastic/multiprocessing/api.py:986] failed (exitcode: 1)']
    (tmp_path / LOG).write_text('\n'.join(own + launcher + ['Root Cause'] * 40))
    error = error_of(job, 1).splitlines()
    assert error[0] == f'exit code 1, see {tmp_path / LOG}'
    assert [line.strip() for line in error[1:]] == own[-TAIL:]


def test_results_decide_whether_a_run_failed(tmp_path):
    """Not the exit code: training may end early, or fail after all is written."""
    job = Job('x', Path('x.py'), tmp_path, 'epoch', 2)
    write_run(tmp_path, '20260101_000000', [50.0], checkpoint='epoch_1.pth')
    (tmp_path / LOG).write_text('early\n')
    assert error_of(job, 0) == f'no accuracy/top1 for epoch 2, see {tmp_path / LOG}\n    early'
    write_run(tmp_path, '20260102_000000', [60.0], first=2, checkpoint='epoch_2.pth')
    assert error_of(job, 1) is None


# Stands in for tools/train.py.
TRAIN = """
import argparse, json, os, pathlib, sys, zipfile
parser = argparse.ArgumentParser()
parser.add_argument('config', type=pathlib.Path)
parser.add_argument('--work-dir', type=pathlib.Path)
parser.add_argument('--resume')
parser.add_argument('--cfg-options', nargs='+')
args = parser.parse_args()
with open(os.environ['CALLS'], 'a') as calls:
    calls.write(json.dumps([args.config.stem, str(args.work_dir), args.resume, args.cfg_options]))
    calls.write(chr(10))
if args.config.stem == os.environ.get('BROKEN'):
    print('no such luck')
    sys.exit(3)
seed = int(args.cfg_options[-1].split('=')[1])
epochs = 3 if args.config.stem == 'grand' else 2
data = args.work_dir / f'2026_{len(list(args.work_dir.iterdir()))}' / 'vis_data'
data.mkdir(parents=True)
with open(data / 'scalars.json', 'w') as file:
    for epoch in range(1, epochs + 1):
        line = {'accuracy/top1': 10 * len(args.config.stem) + seed + epoch, 'step': epoch}
        file.write(json.dumps(line) + chr(10))
last = args.work_dir / f'epoch_{epochs}.pth'
zipfile.ZipFile(last, 'w').close()
(args.work_dir / 'last_checkpoint').write_text(str(last))
"""


@pytest.fixture
def cli(benchmark, project, monkeypatch):
    """Runs the tool on the made-up configs; returns the exit code and the trainings started."""
    (project / 'train.py').write_text(TRAIN)
    monkeypatch.setattr(benchmark, 'TOOLS', project)
    monkeypatch.setattr(benchmark, 'count_networks', lambda settings, args: None)
    # They have tests of their own, and take longer than all the rest.
    for name in ('draw_bars', 'draw_curves'):
        monkeypatch.setattr(benchmark, name, lambda settings, runs: Figure((1, 1)))
    monkeypatch.setenv('CALLS', str(project / 'calls'))
    handler = signal.getsignal(signal.SIGTERM)

    def run(*configs, options=('--seeds', '0', '1'), paths=()):
        (project / 'calls').write_text('')
        paths = paths or [str(*project.glob(f'configs/*/{config}.py')) for config in configs]
        argv = ['benchmark.py', *paths, '--work-dir', 'bench', *options]
        monkeypatch.setattr(sys, 'argv', argv)
        with pytest.raises(SystemExit) as end:
            benchmark.main()
        calls = [json.loads(line) for line in (project / 'calls').read_text().splitlines()]
        return end.value.code, calls

    yield run
    signal.signal(signal.SIGTERM, handler)


def test_everything_is_trained_once(cli, project):
    code, calls = cli('small', 'kd_logits_pair', 'amkd_pair')
    assert code == 0
    names = [(name, options[-1]) for name, _, _, options in calls]
    assert names == [
        ('grand', 'randomness.seed=0'),
        ('teacher', 'randomness.seed=0'),
        *((name, f'randomness.seed={seed}')
          for seed in (0, 1)
          for name in ('small', 'kd_logits_pair', 'amkd_pair')),
    ]  # fmt: skip
    assert calls[1][1] == str(project / 'work_dirs/teacher')
    assert calls[-1][1] == str(project / 'bench/amkd_pair/seed_1')
    row = table_of((project / 'bench/results.md').read_text())['amkd_pair']
    assert row['last epoch (%)'] == '92.50 ± 0.71'
    for name in ('accuracy.png', 'curves.png'):
        assert (project / 'bench' / name).read_bytes().startswith(b'\x89PNG')

    # A second call has nothing to do, and one with another seed just that.
    assert cli('small', 'kd_logits_pair', 'amkd_pair') == (0, [])
    assert table_of((project / 'bench/results.md').read_text())['amkd_pair'] == row
    _, calls = cli('small', 'amkd_pair', options=('--seeds', '0', '2'))
    assert [call[3][-1] for call in calls] == ['randomness.seed=2'] * 2


def test_options_are_for_the_given_configs_and_get_other_folders(cli, project):
    cli('amkd_pair', options=('--seeds', '0'))
    _, calls = cli('amkd_pair', options=('--seeds', '0', '--cfg-options', 'model.a=1'))
    ((name, folder, _, options),) = calls
    assert options == ['model.a=1', 'randomness.seed=0']
    folder = Path(folder)
    assert folder.name == 'seed_0' and folder.parents[1] == project / 'bench/amkd_pair'
    # The old settings still have theirs.
    assert cli('amkd_pair', options=('--seeds', '0')) == (0, [])


def test_options_are_not_for_prerequisites(cli):
    _, calls = cli('amkd_pair', options=('--seeds', '0', '--cfg-options', 'model.a=1'))
    assert [options[:-1] for _, _, _, options in calls] == [[], [], ['model.a=1']]


def test_an_edited_config_gets_another_folder(cli, project):
    cli('small', options=('--seeds', '0'))
    write_config(project, 'vanilla/small', ', width=2')
    _, ((_, folder, _, _),) = cli('small', options=('--seeds', '0'))
    assert Path(folder).parents[1] == project / 'bench/small'


def test_an_interrupted_run_is_resumed(cli, project):
    folder = project / 'bench/small/seed_1'
    write_run(folder, '2025', [1.0], checkpoint='epoch_1.pth')
    _, calls = cli('small')
    assert [call[2] for call in calls] == [None, str(folder / 'epoch_1.pth')]


def test_a_failing_run_is_survived(cli, project, monkeypatch, capsys):
    monkeypatch.setenv('BROKEN', 'small')
    code, calls = cli('small', 'amkd_pair')
    assert code == 1
    assert [name for name, *_ in calls].count('amkd_pair') == 2
    out = capsys.readouterr().out
    log = project / 'bench/small/seed_0/train.log'
    assert f'small, seed 0: FAILED, exit code 3, see {log}\n    no such luck' in out
    text = (project / 'bench/results.md').read_text()
    table = table_of(text)
    assert table['small']['seeds'] == '0 of 2' and table['small']['last epoch (%)'] == '-'
    assert table['amkd_pair']['seeds'] == '2'
    assert f'- small, seed 1: exit code 3, see {project}' in text
    # Started again, just the failed ones run.
    monkeypatch.delenv('BROKEN')
    code, calls = cli('small', 'amkd_pair')
    assert code == 0 and [name for name, *_ in calls] == ['small', 'small']


def test_a_failing_prerequisite_fails_what_needs_it(cli, project, monkeypatch, capsys):
    monkeypatch.setenv('BROKEN', 'grand')
    code, calls = cli('small', 'kd_logits_pair', 'amkd_pair')
    assert code == 1
    assert [name for name, *_ in calls] == ['grand', 'small', 'small']
    text = (project / 'bench/results.md').read_text()
    assert 'amkd_pair, seed 1: teacher could not be trained: ' in text
    assert table_of(text)['small']['seeds'] == '2'


def test_unfinished_run_of_others_is_left_alone(cli, project):
    """The common folder of a prerequisite may hold a run that was made with other options."""
    write_run(project / 'work_dirs/grand', '2025', [1.0], checkpoint='epoch_1.pth')
    code, calls = cli('amkd_pair')
    assert 'work_dirs/grand holds an unfinished run' in code and calls == []


def test_an_own_unfinished_prerequisite_is_resumed(cli, project, monkeypatch):
    monkeypatch.setenv('BROKEN', 'grand')
    cli('amkd_pair')
    write_run(project / 'work_dirs/grand', '2025', [1.0], checkpoint='epoch_1.pth')
    # Writing the last one was cut off.
    (project / 'work_dirs/grand/epoch_3.pth').write_bytes(b'PK')
    monkeypatch.delenv('BROKEN')
    code, calls = cli('amkd_pair')
    assert code == 0
    assert calls[0][:3:2] == ['grand', str(project / 'work_dirs/grand/epoch_1.pth')]


def test_other_checkpoints_of_a_trained_teacher(cli, project):
    """MMEngine writes the best one after it has noted the last, an export may come any time."""
    cli('amkd_pair')
    last = project / 'work_dirs/teacher/epoch_2.pth'
    for name in ('best_accuracy_top1_epoch_2.pth', 'epoch_2.pth'):
        (last.parent / name).write_bytes(last.read_bytes())
    # Such as a download after a training that was given up.
    (last.parent / 'last_checkpoint').unlink()
    model = ", teacher_ckpt='work_dirs/teacher/best_accuracy_top1_epoch_2.pth'"
    write_config(project, 'kd/kd_best_pair', model)
    code, calls = cli('kd_best_pair', 'kd_logits_pair')
    assert code == 0 and {name for name, *_ in calls} == {'kd_best_pair', 'kd_logits_pair'}


def test_a_prerequisite_that_is_not_written(cli, project):
    """Such as one that a checkpoint hook calls otherwise."""
    train = (project / 'train.py').read_text()
    (project / 'train.py').write_text(train.replace("f'epoch_{epochs}.pth'", "'latest.pth'"))
    code, calls = cli('amkd_pair')
    assert code == 1 and [name for name, *_ in calls] == ['grand']
    assert 'teacher could not be trained' in (project / 'bench/results.md').read_text()


def test_configs_of_the_same_name(cli, project):
    """They differ, so they do not share runs; nor do their names in the table."""
    write_config(project, 'other/small', ', width=2')
    paths = [str(project / f'configs/{folder}/small.py') for folder in ('vanilla', 'other')]
    code, calls = cli(options=('--seeds', '0'), paths=paths)
    assert code == 0 and len({folder for _, folder, *_ in calls}) == 2
    table = table_of((project / 'bench/results.md').read_text())
    assert list(table) == ['vanilla/small', 'other/small']


def test_configs_of_the_same_name_in_folders_of_the_same_name(cli, project):
    folders = ('one/configs', 'two/configs')
    for number, folder in enumerate(folders):
        write_config(project / folder, 'small', f', width={number}')
    paths = [str(project / folder / 'configs/small.py') for folder in folders]
    code, calls = cli(options=('--seeds', '0'), paths=paths)
    assert code == 0 and len({folder for _, folder, *_ in calls}) == 2
    table = table_of((project / 'bench/results.md').read_text())
    assert list(table) == ['one/configs/configs/small', 'two/configs/configs/small']


def test_configs_that_differ_in_suffix_only(cli, project):
    path = project / 'configs/vanilla/small.py'
    other = path.with_suffix('.json')
    Config.fromfile(path).dump(other)
    other.write_text(other.read_text().replace('"type"', '"width": 2, "type"', 1))
    code, _ = cli(options=('--seeds', '0'), paths=[str(path), str(other)])
    assert code == 0
    assert list(table_of((project / 'bench/results.md').read_text())) == [str(path), str(other)]


def test_iterations_logged_as_epochs(cli, project):
    """All validations would be those of step 0: known before anything is trained."""
    iterations = 'train_cfg = dict(by_epoch=False, max_iters=2, val_interval=1)'
    # Of what is given, and of a teacher that it needs.
    pair = write_config(
        project, 'kd/kd_logits_pair', ", teacher_ckpt='work_dirs/grand/epoch_3.pth'"
    )
    pair.write_text(f'{pair.read_text()}{iterations}')
    code, calls = cli('kd_logits_pair')
    assert 'kd_logits_pair.py: `train_cfg` counts iterations' in code and calls == []
    teacher = write_config(project, 'two/teacher', rest=iterations)
    write_config(project, 'amkd/amkd_pair', ", teacher_ckpt='work_dirs/teacher/iter_2.pth'")
    code, calls = cli('amkd_pair')
    assert f'{teacher}: `train_cfg` counts iterations' in code and calls == []
    write_config(project, 'vanilla/small', rest=iterations)
    code, calls = cli('small')
    assert '`default_hooks.logger.log_metric_by_epoch=False`' in code and calls == []
    hooks = 'default_hooks = dict(logger=dict(log_metric_by_epoch=False)'
    write_config(project, 'vanilla/small', rest=f'{iterations}\n{hooks})')
    code, calls = cli('small')
    assert '`default_hooks.checkpoint.by_epoch=False`' in code and calls == []
    write_config(
        project, 'vanilla/small', rest=f'{iterations}\n{hooks}, checkpoint=dict(by_epoch=False))'
    )
    _, calls = cli('small')
    assert len(calls) == 2


@pytest.mark.parametrize('text', ['model = dict(', 'model = dict(a=1)', "_base_ = 'nothing.py'"])
def test_a_config_that_cannot_be_used(cli, project, text):
    (project / 'configs/vanilla/small.py').write_text(text)
    code, calls = cli('small')
    assert 'small.py: ' in code and calls == []


def test_two_benchmarks_in_one_folder(cli, project):
    with lock(project / 'bench/.lock'):
        code, calls = cli('small')
    assert 'another benchmark' in code and calls == []


# As a user runs it


def start_cli(folder, configs):
    command = [
        sys.executable,
        ROOT / 'tools/benchmark.py',
        *(ROOT / 'configs' / c for c in configs),
    ]
    command += ['--seeds', '0', '1', '--work-dir', 'bench', '--jobs', '2']
    command += ['--cfg-options', 'train_cfg.max_epochs=2']
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    return subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_in(folder):
    """Command lines of the processes that train below a folder."""
    lines = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            lines.append(path.read_bytes().replace(b'\0', b' ').decode())
        except OSError:
            continue
    return [line for line in lines if 'train.py' in line and str(folder) in line]


@pytest.mark.slow
@pytest.mark.parametrize('kind', [signal.SIGTERM, signal.SIGKILL])
def test_killed_and_started_again(tmp_path, kind):
    """A finished run is not run again, and a run left behind is not run beside itself."""
    configs = ['vanilla/resnet8_1xb64_digits.py', 'kd/kd_logits_resnet26_resnet8_1xb64_digits.py']
    alone, kd = (Path(config).stem for config in configs)
    first = start_cli(tmp_path, configs)
    for line in first.stdout:
        if line.startswith('[1/4]'):
            break
    else:
        pytest.fail('nothing was trained')
    time.sleep(1)
    first.send_signal(kind)
    first.wait(60)
    first.stdout.close()
    if kind == signal.SIGTERM and Path('/proc').exists():
        assert processes_in(tmp_path) == []
    # A run left behind may be complete, and its process still note the last of it.
    done = [
        folder
        for folder in sorted((tmp_path / 'bench').glob('*/seed_*'))
        if is_complete(folder, 'epoch', 2) and not processes_in(folder)
    ]
    assert done
    states = {folder: sorted(p.name for p in folder.iterdir()) for folder in done}

    second = start_cli(tmp_path, configs)
    out, _ = second.communicate(timeout=300)
    assert second.returncode == 0, out
    assert {folder: sorted(p.name for p in folder.iterdir()) for folder in done} == states
    assert 'prerequisite' not in out
    assert processes_in(tmp_path) == []

    table = table_of((tmp_path / 'bench/results.md').read_text())
    assert list(table) == [alone, kd]
    folders = {n: [tmp_path / f'bench/{n}/seed_{seed}' for seed in (0, 1)] for n in table}
    for name, row in table.items():
        last = [read_scalars(f)[1][2]['accuracy/top1'] for f in folders[name]]
        expected = f'{statistics.mean(last):.2f} ± {statistics.stdev(last):.2f}'
        assert row['seeds'] == '2' and row['last epoch (%)'] == expected
        assert float(row['s an epoch']) > 0
    assert table[kd]['alone (%)'] == table[alone]['last epoch (%)']
    teacher = read_scalars(tmp_path / 'work_dirs/resnet26_1xb64_digits')[1][12]['accuracy/top1']
    assert table[kd]['teacher (%)'] == f'{teacher:.2f}'
    assert table[kd]['teacher: M parameters, M MACs'] == '0.367, 3.45'
    # Seeds are what makes runs differ.
    configs = [Config.fromfile(next(f.glob('*/vis_data/config.py'))) for f in folders[kd]]
    assert [cfg.randomness.seed for cfg in configs] == [0, 1]
