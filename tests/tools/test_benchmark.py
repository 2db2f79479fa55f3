"""The benchmark tool: what it counts, compares, trains and leaves alone."""

import csv
import io
import json
import os
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
import psutil
import pytest
from matplotlib.figure import Figure
from mmengine.config import Config
from rich.console import Console
from scipy import stats

from amkd_mm.benchmarking import settings
from amkd_mm.benchmarking.comparison import mean_and_std, paired_gain, summarise
from amkd_mm.benchmarking.complexity import networks_of
from amkd_mm.benchmarking.plots import draw_bars, draw_curves, short_names
from amkd_mm.benchmarking.progress import Progress
from amkd_mm.benchmarking.records import Run, Setting, read_scalars
from amkd_mm.benchmarking.running import LOG, MEASURED, TAIL, error_of, stop, train_all
from amkd_mm.benchmarking.settings import load_config
from amkd_mm.benchmarking.tables import write_tables
from amkd_mm.cli.folder_lock import lock

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'


@pytest.fixture
def benchmark(load_tool):
    return load_tool('benchmark.py')


# Statistics


def test_mean_and_std():
    # Squared distances from 93: 9, 1 and 16, divided by 2.
    assert mean_and_std([90.0, 92.0, 97.0]) == dict(mean=93, std=pytest.approx(13**0.5), n=3)
    assert mean_and_std([90.0]) == dict(mean=90, std=None, n=1)
    assert mean_and_std([]) is None


def test_paired_gain_is_that_of_scipy():
    values = {0: 91.0, 1: 93.5, 2: 90.0, 5: 96.0}
    baseline = {5: 94.0, 2: 90.5, 1: 91.0, 0: 90.0}
    expected = stats.ttest_rel(
        *([line[seed] for seed in sorted(line)] for line in (values, baseline))
    )
    low, high = expected.confidence_interval(0.95)
    found = paired_gain(values, baseline)
    assert found == pytest.approx(dict(mean=1.25, low=low, high=high, n=4))
    # Only seeds that both have count.
    assert paired_gain({**values, 7: 0.0}, {**baseline, 8: 100.0}) == found


def test_paired_gain_of_few_or_equal_differences():
    one, equal = dict(mean=1, low=None, high=None, n=1), dict(mean=1, low=1, high=1, n=2)
    assert paired_gain({0: 91.0, 1: 50.0}, {0: 90.0}) == one
    assert paired_gain({0: 91.0, 1: 51.0}, {0: 90.0, 1: 50.0}) == equal
    assert paired_gain({0: 91.0}, {1: 90.0}) is None


# Comparison and tables


def setting(stem, teacher='t', student='s', data='digits', **kwargs):
    def network(identity):
        return identity and dict(parameters=0.5, macs=12.0, identity=identity)

    networks = dict(student=network(student), teacher=network(teacher), alone=stem == 'net')
    config = Path(f'/configs/{stem}.py')
    return Setting(stem, config, Path('/runs') / stem, networks=networks, data=data, **kwargs)


def runs_of(setting, *curves, teacher=None):
    return [
        Run(
            setting,
            seed,
            Path(f'/runs/{setting.name}/seed_{seed}'),
            status='complete',
            curve=dict(enumerate(curve, 1)),
            teacher=teacher,
            epoch_seconds=[1.0 + seed, 2.0 + seed],
            peak_memory_mib=100.0 * (seed + 1),
            memory_kind='GPU',
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
    *(setting(f'{name}_unknown', teacher=None, student=None) for name in ('kd_logits', 'amkd')),
]
NET, KD, AMKD, *OTHERS = SETTINGS
RUNS = [
    *runs_of(NET, [50, 80], [60, 82]),
    *runs_of(KD, [90, 85], [70, 88], teacher=97.5),
    *runs_of(AMKD, [60, 86], [90, 89.5], teacher=97.5),
    *(run for s in OTHERS for run in runs_of(s, [60, 86], [90, 89.5], teacher=97.5)),
]


def test_what_is_compared():
    """With the student alone and KD: of the same networks and data, and not with themselves."""
    found = {
        row['config']: [row[key] and row[key]['mean'] for key in ('alone', 'gain_over_kd')]
        for row in summarise(SETTINGS, RUNS)
    }
    assert found == dict(
        net=[None, None],
        kd_logits_pair=[81, None],
        amkd_pair=[81, (1 + 1.5) / 2],
        amkd_other_student=[None, None],
        amkd_other_teacher=[81, None],
        amkd_other_data=[None, None],
        self_distillation=[81, None],  # without a teacher, but with distillation
        # Networks that could not be counted may be any.
        kd_logits_unknown=[None, None],
        amkd_unknown=[None, None],
    )


def table_of(text):
    lines = [line.strip('| ').split(' | ') for line in text.split('\n\n')[0].splitlines()]
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[2:]}


def test_tables(tmp_path):
    failed = Run(AMKD, 2, Path('f'), 'failed', 'exit code 1, see x\n    a\n    boom')
    runs = [*RUNS, failed, Run(NET, 2, Path('f'))]
    text = write_tables(tmp_path, summarise(SETTINGS[:3], runs), runs)
    assert text == (tmp_path / 'results.md').read_text()
    table = table_of(text)
    assert list(table) == ['net', 'kd_logits_pair', 'amkd_pair']
    assert table['amkd_pair'] == {
        'config': 'amkd_pair',
        'seeds': '2 of 3',
        # Standard deviations of two values are their difference / sqrt(2).
        'last epoch (%)': '87.75 ± 2.47',
        'best epoch (%)': '88.00 ± 2.83',
        'teacher (%)': '97.50',
        'alone (%)': '81.00 ± 1.41',
        # t of one degree of freedom is 12.706; the standard error of 1 and 1.5 is 0.25.
        'gain over KD (points)': '+1.25 (-1.93 to +4.43)',
        's an epoch': '2',  # median of 1, 2, 2 and 3
        'memory (MiB)': '200 (GPU)',
        'student: M parameters, M MACs': '0.5, 12',
        'teacher: M parameters, M MACs': '0.5, 12',
    }
    assert table['net']['teacher (%)'] == table['net']['teacher: M parameters, M MACs'] == '-'
    assert '- amkd_pair, seed 2: exit code 1, see x: `boom`\n' in text

    (_, _, line) = csv.DictReader((tmp_path / 'results.csv').open())
    assert float(line['last_top1_mean_percent']) == 87.75
    assert float(line['gain_over_kd_low_points']) == pytest.approx(1.25 - 12.7062 / 4, abs=1e-4)
    assert json.loads((tmp_path / 'results.json').read_text())[2]['seeds'] == [0, 1]
    lines = [json.loads(line) for line in (tmp_path / 'runs.jsonl').read_text().splitlines()]
    assert len(lines) == len(RUNS) + 1
    assert (lines[2]['setting'], lines[2]['last'], lines[2]['best']) == ('kd_logits_pair', 85, 90)
    assert lines[-1]['error'].endswith('boom')

    # One seed has no spread and no interval.
    runs = [run for run in RUNS if run.seed == 0]
    row = table_of(write_tables(tmp_path, summarise(SETTINGS[:3], runs), runs))['amkd_pair']
    found = [row[key] for key in ('seeds', 'last epoch (%)', 'gain over KD (points)')]
    assert found == ['1', '86.00', '-']


# Pictures


def test_short_names():
    def found(*names):
        return short_names([(setting(name), []) for name in names])

    names = ['net8_1xb64_digits', 'kd_net8_1xb64_digits']
    assert found(*names) == (['net8', 'kd_net8'], '1xb64_digits')
    assert found('a_b', 'c_d') == (['a_b', 'c_d'], '')
    assert found('a_b') == (['a_b'], '')
    assert found('a_b', 'a_b') == (['a', 'a'], 'b')


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


def test_curves_of_many_configs_and_their_last_third():
    many = [setting(f'config{n}', length=6) for n in range(9)]
    figure = draw_curves(many, [run for s in many for run in runs_of(s, [1, 2, 3, 4, 5, 6])])
    whole, end = figure.axes
    assert list(end.lines[0].get_ydata()) == [4, 5, 6]
    assert len({(line.get_color(), line.get_linestyle()) for line in whole.lines}) == 9


@pytest.mark.parametrize('draw', [draw_bars, draw_curves])
@pytest.mark.parametrize('count', [1, 9])
def test_pictures_of_few_and_many_configs_with_one_run(draw, count):
    many = [setting(f'config{n}') for n in range(count)]
    draw(many, [run for s in many for run in runs_of(s, [1, 2])]).canvas.draw()


def test_a_picture_that_fails_ends_no_benchmark(benchmark, tmp_path, monkeypatch, capsys):
    """The table is there, and the other picture."""

    def fail(settings, runs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(benchmark, 'draw_bars', fail)
    assert 'kd_logits_pair' in benchmark.report(tmp_path, SETTINGS[:2], RUNS[:4])
    said = capsys.readouterr().out
    assert said == 'accuracy.png could not be drawn: OSError: [Errno 28] No space left on device\n'
    assert (tmp_path / 'curves.png').is_file() and not (tmp_path / 'accuracy.png').exists()


# What runs leave


STAMP = '20260101_000000'


def write_run(folder, accuracies, stamp=STAMP, first=1, unit='epoch', checkpoint=None, extra=None):
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


def run_in(folder, length=1, **kwargs):
    return Run(setting('x', length=length, **kwargs), 1, folder)


def test_newest_results_of_a_resumed_run_count(tmp_path):
    write_run(tmp_path, [70.0, 80.0], '20260102_000000', first=2)
    write_run(tmp_path, [50.0, 60.0])
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
    write_run(tmp_path, accuracies, unit=unit, checkpoint=checkpoint)
    assert run_in(tmp_path, length, unit=unit).is_complete() is complete
    if complete:
        (tmp_path / checkpoint).unlink()
        assert not run_in(tmp_path, length, unit=unit).is_complete()


def test_read_run(tmp_path):
    write_run(tmp_path, [50.0, 80.0, 60.0], checkpoint='epoch_3.pth')
    notes = [dict(seconds=5.0, peak_rss_mib=300.0), dict(seconds=7.0, peak_rss_mib=200.0)]
    (tmp_path / 'processes.jsonl').write_text('\n'.join(map(json.dumps, notes)))
    run = run_in(tmp_path, 3).read()
    assert (run.status, run.last, run.best, run.teacher) == ('complete', 60.0, 80.0, 97.5)
    assert run.epoch_seconds == pytest.approx([0.4, 0.8, 1.2])
    assert (run.seconds, run.peak_memory_mib, run.memory_kind) == (12.0, 300.0, 'process')


def test_self_distillation_names_its_accuracy_otherwise(tmp_path):
    write_run(tmp_path, [50.0, 60.0], checkpoint='epoch_2.pth')
    path = tmp_path / STAMP / 'vis_data/scalars.json'
    path.write_text(path.read_text().replace('"accuracy/top1"', '"student.accuracy/top1"'))
    run = run_in(tmp_path, 2)
    assert run.is_complete() and run.read().curve == {1: 50.0, 2: 60.0}


def test_memory_of_the_gpu_is_preferred(tmp_path):
    write_run(tmp_path, [50.0], extra=dict(memory=77))
    (tmp_path / 'processes.jsonl').write_text(json.dumps(dict(seconds=1, peak_rss_mib=300.0)))
    run = run_in(tmp_path).read()
    assert (run.peak_memory_mib, run.memory_kind) == (77.0, 'GPU')


def test_time_of_training_by_iterations(tmp_path):
    """It is that of a validation interval, here of 8 iterations."""
    write_run(tmp_path, [50.0, 60.0, 70.0, 80.0], unit='iter')
    run = run_in(tmp_path, 16, unit='iter', val_interval=8).read()
    assert run.epoch_seconds == pytest.approx([8 * 0.15, 8 * 0.35])
    assert max(run.curve) == 16


def test_measured_memory_is_not_that_of_the_starting_process(tmp_path):
    """A child's peak counts from its parent's, and this process is large: so a small one starts."""
    ballast = bytearray(os.urandom(2**20)) * 400
    code = 'x = bytearray(b"1") * (60 * 2**20); raise SystemExit(5)'
    python = [sys.executable, '-I', '-S']
    done = subprocess.run([*python, MEASURED, tmp_path / 'notes', *python, '-c', code])
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
    epochs, iters = dict(max_epochs=5), dict(max_iters=50)
    for loop in (dict(by_epoch=True), dict(type='EpochBasedTrainLoop')):
        assert settings.span_of({**loop, **epochs}) == ('epoch', 5)
    for loop in (dict(by_epoch=False), dict(type='mmengine.IterBasedTrainLoop')):
        assert settings.span_of({**loop, **iters}) == ('iter', 50)


def test_fingerprint(tmp_path):
    checkpoint = tmp_path / 'teacher.pth'
    checkpoint.write_bytes(b'1')

    def found(*options, processes=1):
        options = [f'model.teacher_ckpt={checkpoint}', *options]
        return settings.fingerprint(load_config(DIGITS, options), processes)

    first = found()
    assert found('randomness.seed=5') == found('work_dir=x') == first
    # Nor does a seed count for a config that has none.
    alone = ROOT / 'configs/vanilla/resnet8_1xb256_cifar10.py'
    seeds = [], ['randomness.seed=5']
    prints = {settings.fingerprint(load_config(alone, seed)) for seed in seeds}
    assert len(prints) == 1
    others = {found('train_cfg.max_epochs=1'), found('optim_wrapper.optimizer.lr=1.')}
    others |= {found(processes=2)}
    checkpoint.write_bytes(b'2')
    assert len(others | {first, found()}) == 5


def test_settings_get_folders_of_their_own(benchmark, tmp_path):
    one, two = dict(fingerprint='1' * 40), dict(fingerprint='2' * 40)
    folders = [benchmark.folder_of(tmp_path, found) for found in (one, two, one, two)]
    assert folders == [tmp_path, tmp_path / '22222222'] * 2


CONFIG = """
model = dict(type='Net', name='{stem}'{model})
train_cfg = dict(by_epoch=True, max_epochs={epochs})
val_dataloader = dict(dataset=dict(type='Data'))
randomness = dict(seed=None)
{rest}
"""


def write_config(root, name, model='', epochs=2, rest='', needs=None):
    """A config, which may need a checkpoint below ``work_dirs``."""
    if needs:
        model += f", teacher_ckpt='work_dirs/{needs}'"
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
    grand = "dict(type='Pretrained', checkpoint='work_dirs/grand/epoch_3.pth')"
    write_config(tmp_path, 'two/teacher', f', init_cfg={grand}')
    for name in ('kd/kd_logits_pair', 'amkd/amkd_pair'):
        write_config(tmp_path, name, needs='teacher/epoch_2.pth')
    return tmp_path


def prerequisites(config):
    found = settings.find_prerequisites(config, load_config(config), ROOT / 'configs', {})
    return {str(checkpoint): writer.stem for checkpoint, writer in found.items()}


def test_prerequisites_in_the_order_of_need(project):
    config = project / 'configs/amkd/amkd_pair.py'
    needed = [
        ('work_dirs/grand/epoch_3.pth', 'grand'),
        ('work_dirs/teacher/epoch_2.pth', 'teacher'),
    ]
    assert list(prerequisites(config).items()) == needed
    (project / 'work_dirs/teacher').mkdir(parents=True)
    (project / 'work_dirs/teacher/epoch_2.pth').write_bytes(b'')
    assert prerequisites(config) == {}


SMALL = "'work_dirs/small/epoch_2.pth'"
PRETRAINED = f"init_cfg=[dict(type='Pretrained', checkpoint={SMALL})]"


@pytest.mark.parametrize(
    ('model', 'rest', 'needed'),
    [
        (f', teachers=dict(a=dict(build_cfg=dict(), ckpt_path={SMALL}))', '', ['small']),
        ('', f'load_from = {SMALL}', ['small']),
        (f', architecture=dict(backbone=dict({PRETRAINED}))', '', ['small']),
        # URLs and nothing are none.
        (", teacher_ckpt='https://host/epoch_2.pth', a=dict(ckpt_path=None)", '', []),
        ('', "load_from = 'torchvision://resnet50'", []),
    ],
)
def test_kinds_of_prerequisites(project, model, rest, needed):
    config = write_config(project, 'x/needs', model, rest=rest)
    assert list(prerequisites(config).values()) == needed


def test_shipped_configs_serve_configs_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path, 'x/mine', needs='resnet26_1xb64_digits/epoch_12.pth')
    config = config.rename(tmp_path / 'mine.py')
    assert list(prerequisites(config).values()) == ['resnet26_1xb64_digits']


# Command lines


def arguments(**kwargs):
    defaults = dict(launcher='none', jobs=1, nproc=1, gpus_per_node=8, partition='gpu')
    return Namespace(**{**defaults, **kwargs})


@pytest.fixture
def run(tmp_path):
    configured = Setting('x', Path('/c/x.py'), tmp_path, length=2, options=['a.b=1', 'c=[2,3]'])
    return Run(configured, 3, tmp_path / 'seed_3')


OPTIONS = ['--cfg-options', 'a.b=1', 'c=[2,3]', 'randomness.seed=3']


def test_command_line(benchmark, run):
    command, _ = benchmark.command_of(arguments(), run, 0)
    folder = ['--work-dir', str(run.folder)]
    assert command == [sys.executable, str(ROOT / 'tools/train.py'), '/c/x.py', *folder, *OPTIONS]
    write_run(run.folder, [1.0], checkpoint='epoch_1.pth')
    command, _ = benchmark.command_of(arguments(), run, 0)
    assert command[5:7] == ['--resume', str(run.folder / 'epoch_1.pth')]
    assert command[7:] == OPTIONS


@pytest.fixture
def words_of(benchmark, run, monkeypatch):
    """What the launcher's own script starts, where a stub is in place of the program.

    Returns the options of that program and the command line of the training.
    """

    def words_of(slot, **kwargs):
        for program in ('python', 'srun'):
            (run.folder / program).write_text(
                '#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n'
            )
            (run.folder / program).chmod(0o755)
        monkeypatch.setattr(sys, 'executable', str(run.folder / 'python'))
        command, env = benchmark.command_of(arguments(**kwargs), run, slot)
        done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)
        words = done.stdout.splitlines()
        train = words.index(str(ROOT / 'tools/train.py'))
        return words[:train], words[train + 1 :], env

    run.folder.mkdir()
    monkeypatch.delenv('PORT', raising=False)
    monkeypatch.delenv('MASTER_PORT', raising=False)
    return words_of


def test_launcher_pytorch(words_of, run):
    first, train, _ = words_of(1, launcher='pytorch', nproc=2, jobs=3)
    assert {'--nproc_per_node=2', '--master_port=29501'} <= set(first)
    options = ['--launcher', 'pytorch', '--work-dir', str(run.folder)]
    assert train == ['/c/x.py', *options, *OPTIONS]


def test_launcher_slurm(words_of, run):
    first, train, env = words_of(2, launcher='slurm', nproc=16, gpus_per_node=4)
    assert first[:5] == ['-p', 'gpu', '--job-name=x', '--gres=gpu:4', '--ntasks=16']
    assert train == ['/c/x.py', f'--work-dir={run.folder}', '--launcher=slurm', *OPTIONS]
    # Runs on one node need ports of their own.
    assert env['MASTER_PORT'] == '29502'


def test_runs_share_the_machine(benchmark, monkeypatch):
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


# Progress


@pytest.fixture
def shown(tmp_path):
    """Progress of three runs on a terminal, one of which moves as time passes."""
    screen, clock = Console(file=io.StringIO(), force_terminal=True, color_system=None), [0]
    progress = Progress(3, screen, get_time=lambda: clock[0], auto_refresh=False)
    run = run_in(tmp_path, 2)

    def show(seconds, steps):
        """Let time pass, in which MMEngine logs these iterations, in epochs of 50."""
        logs = tmp_path / STAMP / 'vis_data'
        logs.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(dict(loss=1.0, iter=n, step=n)) + '\n' for n in steps]
        (logs / 'scalars.json').write_text(''.join(lines))
        (logs.parent / 'run.log').write_text('Epoch(train)  [1][10/50]  lr: 0.1\n')
        clock[0] += seconds
        progress.show([run], [])
        return [task.time_remaining for task in progress.tasks]

    return Namespace(progress=progress, run=run, show=show, screen=screen.file)


def test_remaining_time(shown):
    """10 s for 10 of 100 iterations since the run was first seen, at iteration 20."""
    complete = runs_of(NET, [50.0])[0]
    shown.progress.ended(complete, True)
    assert shown.show(0, [20]) == [None, None]
    # One more run, and the rest of this one.
    assert shown.show(10, [20, 30]) == [100 + 70, 70]


def test_a_terminal_shows_how_far_a_run_is(shown):
    with shown.progress:
        shown.show(0, [10])
        shown.show(10, [10, 50])
        shown.progress.refresh()
        row = shown.screen.getvalue().splitlines()[-1]
        assert row.startswith('x, seed 1') and row.endswith('epoch 1 of 2 0:00:10 0:00:13')
        shown.run.status, shown.run.error = 'failed', 'exit code 1'
        shown.progress.ended(shown.run, False)
    assert '[1/3] x, seed 1: FAILED, exit code 1' in shown.screen.getvalue()
    assert len(shown.progress.tasks) == 1


def test_a_file_gets_a_line_a_run_and_one_in_ten_minutes(shown, capsys):
    shown.progress.disable = True
    for seconds, steps in ((0, []), (10, [20]), (589, [20, 30]), (2, [20, 30, 40])):
        shown.show(seconds, steps)
    first, last = capsys.readouterr().out.splitlines()
    assert first == '0/3 done, 0:00:00 elapsed, unknown left; running: x, seed 1 (epoch 0 of 2)'
    assert 'x, seed 1 (epoch 0.8 of 2)' in last and 'unknown' not in last


# Running


def test_a_folder_is_not_trained_in_twice(tmp_path):
    """What another process trains is waited for, and not trained again when it is complete."""
    run, held = run_in(tmp_path), lock(tmp_path / '.lock')
    assert lock(tmp_path / '.lock') is None

    def other():
        write_run(tmp_path, [1.0], checkpoint='epoch_1.pth')
        held.close()

    ended = []
    timer = threading.Timer(0.5, other)
    timer.start()
    train_all(
        [run], 1, lambda *_: pytest.fail('trained'), lambda *a: ended.append(a), lambda *_: None
    )
    timer.join()
    assert ended == [(run, True)] and run.last == 1.0


# Its child has a session of its own, as those of torch's launcher, and neither ends when told to.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) == 2:
    command = [sys.executable, '-c', sys.argv[1]]
    subprocess.Popen(command, start_new_session=True)
print('started', flush=True)
time.sleep(60)
"""


def test_a_run_ends_with_all_its_processes(monkeypatch):
    monkeypatch.setattr('amkd_mm.benchmarking.running.GRACE', 0.5)
    command = [sys.executable, '-c', STUBBORN, STUBBORN]
    process = psutil.Popen(command, stdout=subprocess.PIPE, text=True)
    assert [process.stdout.readline() for _ in range(2)] == ['started\n'] * 2
    (child,) = process.children()
    stop([process])
    for ended in (process, child):
        # Nobody may ask how the child ended.
        assert not ended.is_running() or ended.status() == psutil.STATUS_ZOMBIE


def test_error_of_a_launched_run_is_that_of_the_run(tmp_path):
    """Not the summary that torch's launcher puts behind it."""
    own = [f'[rank0]: line {n}' for n in range(30)] + ['[rank0]: ValueError: boom']
    launcher = ['E11 torch/distributed/elastic/multiprocessing/api.py:986] failed (exitcode: 1)']
    (tmp_path / LOG).write_text('\n'.join(own + launcher + ['Root Cause'] * 40))
    error = error_of(run_in(tmp_path), 1).splitlines()
    assert error[0] == f'exit code 1, see {tmp_path / LOG}'
    assert [line.strip() for line in error[1:]] == own[-TAIL:]


def test_results_decide_whether_a_run_failed(tmp_path):
    """Not the exit code: training may end early, or fail after all is written."""
    run = run_in(tmp_path, 2)
    write_run(tmp_path, [50.0], checkpoint='epoch_1.pth')
    (tmp_path / LOG).write_text('early\n')
    assert error_of(run, 0) == f'no accuracy/top1 for epoch 2, see {tmp_path / LOG}\n    early'
    write_run(tmp_path, [60.0], '20260102_000000', first=2, checkpoint='epoch_2.pth')
    assert error_of(run, 1) == ''


# The tool, with this in place of tools/train.py.


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
    """Runs the tool on the made-up configs.

    Returns the exit code, the names, folders, resumed checkpoints and options of the trainings that
    it started, and the table.
    """
    (project / 'train.py').write_text(TRAIN)
    monkeypatch.setattr(benchmark, 'TOOLS', project)
    monkeypatch.setattr(benchmark, 'count_networks', lambda settings, work_dir: None)
    # They have tests of their own, and take longer than all the rest.
    for name in ('draw_bars', 'draw_curves'):
        monkeypatch.setattr(benchmark, name, lambda settings, runs: Figure((1, 1)))
    monkeypatch.setenv('CALLS', str(project / 'calls'))
    handler = signal.getsignal(signal.SIGTERM)

    def run(*configs, options=(), seeds='01', paths=None):
        (project / 'calls').write_text('')
        if paths is None:
            paths = [next(project.glob(f'configs/*/{config}.py')) for config in configs]
        argv = [
            'benchmark.py',
            *map(str, paths),
            '--work-dir',
            'bench',
            '--seeds',
            *seeds,
            *options,
        ]
        monkeypatch.setattr(sys, 'argv', argv)
        with pytest.raises(SystemExit) as end:
            benchmark.main()
        calls = [json.loads(line) for line in (project / 'calls').read_text().splitlines()]
        names, folders, resumed, given = map(list, zip(*calls, strict=True)) if calls else [[]] * 4
        text = project / 'bench/results.md'
        return Namespace(
            code=end.value.code,
            names=names,
            folders=[Path(folder) for folder in folders],
            resumed=resumed,
            options=given,
            table=table_of(text.read_text()) if text.exists() else {},
        )

    yield run
    signal.signal(signal.SIGTERM, handler)


def test_everything_is_trained_once(cli, project):
    configs = ('small', 'kd_logits_pair', 'amkd_pair')
    done = cli(*configs)
    assert done.code == 0
    assert done.names == ['grand', 'teacher', *configs, *configs]
    assert [line[-1][-1] for line in done.options] == list('00' + '000' + '111')
    assert done.folders[1] == project / 'work_dirs/teacher'
    assert done.folders[-1] == project / 'bench/amkd_pair/seed_1'
    assert done.table['amkd_pair']['last epoch (%)'] == '92.50 ± 0.71'
    for name in ('accuracy.png', 'curves.png'):
        assert (project / 'bench' / name).read_bytes().startswith(b'\x89PNG')

    # A second call has nothing to do, and one with another seed just that.
    again = cli(*configs)
    assert (again.code, again.names, again.table) == (0, [], done.table)
    more = cli('small', 'amkd_pair', seeds='02')
    assert more.options == [['randomness.seed=2']] * 2


def test_options_are_for_the_given_configs_and_get_other_folders(cli, project):
    options = ('--cfg-options', 'model.a=1')
    done = cli('amkd_pair', seeds='0', options=options)
    assert done.names == ['grand', 'teacher', 'amkd_pair']
    assert [given[:-1] for given in done.options] == [[], [], ['model.a=1']]
    plain = cli('amkd_pair', seeds='0')
    (folder,) = plain.folders
    assert folder.name == 'seed_0' and folder.parents[1] == project / 'bench/amkd_pair'
    # Both still have theirs.
    assert cli('amkd_pair', seeds='0', options=options).names == []
    assert cli('amkd_pair', seeds='0').names == []


def test_an_edited_config_gets_another_folder(cli, project):
    cli('small', seeds='0')
    write_config(project, 'vanilla/small', ', width=2')
    (folder,) = cli('small', seeds='0').folders
    assert folder.parents[1] == project / 'bench/small'


def test_an_interrupted_run_is_resumed(cli, project):
    folder = project / 'bench/small/seed_1'
    write_run(folder, [1.0], '2025', checkpoint='epoch_1.pth')
    assert cli('small').resumed == [None, str(folder / 'epoch_1.pth')]


def test_a_failing_run_is_survived(cli, project, monkeypatch, capsys):
    monkeypatch.setenv('BROKEN', 'small')
    done = cli('small', 'amkd_pair')
    assert done.code == 1
    assert done.names.count('amkd_pair') == 2
    log = project / 'bench/small/seed_0/train.log'
    failed = f'small, seed 0: FAILED, exit code 3, see {log}\n    no such luck'
    assert failed in capsys.readouterr().out
    assert done.table['small']['seeds'] == '0 of 2'
    assert done.table['small']['last epoch (%)'] == '-'
    assert done.table['amkd_pair']['seeds'] == '2'
    text = (project / 'bench/results.md').read_text()
    assert f'- small, seed 1: exit code 3, see {project}' in text
    # Started again, just the failed ones run.
    monkeypatch.delenv('BROKEN')
    again = cli('small', 'amkd_pair')
    assert again.code == 0 and again.names == ['small', 'small']


def test_a_failing_prerequisite_fails_what_needs_it(cli, project, monkeypatch):
    monkeypatch.setenv('BROKEN', 'grand')
    done = cli('small', 'kd_logits_pair', 'amkd_pair')
    assert done.code == 1 and done.names == ['grand', 'small', 'small']
    text = (project / 'bench/results.md').read_text()
    assert 'amkd_pair, seed 1: teacher could not be trained: ' in text
    assert done.table['small']['seeds'] == '2'


def test_unfinished_run_of_others_is_left_alone(cli, project):
    """The common folder of a prerequisite may hold a run that was made with other options."""
    write_run(project / 'work_dirs/grand', [1.0], '2025', checkpoint='epoch_1.pth')
    done = cli('amkd_pair')
    assert 'work_dirs/grand holds an unfinished run' in done.code and done.names == []


def test_an_own_unfinished_prerequisite_is_resumed(cli, project, monkeypatch):
    monkeypatch.setenv('BROKEN', 'grand')
    cli('amkd_pair')
    write_run(project / 'work_dirs/grand', [1.0], '2025', checkpoint='epoch_1.pth')
    # Writing the last one was cut off.
    (project / 'work_dirs/grand/epoch_3.pth').write_bytes(b'PK')
    monkeypatch.delenv('BROKEN')
    done = cli('amkd_pair')
    assert (done.code, done.names[0]) == (0, 'grand')
    assert done.resumed[0] == str(project / 'work_dirs/grand/epoch_1.pth')


def test_other_checkpoints_of_a_trained_teacher(cli, project):
    """MMEngine writes the best one after it has noted the last, an export may come any time."""
    cli('amkd_pair')
    last = project / 'work_dirs/teacher/epoch_2.pth'
    for name in ('best_accuracy_top1_epoch_2.pth', 'epoch_2.pth'):
        (last.parent / name).write_bytes(last.read_bytes())
    # Such as a download after a training that was given up.
    (last.parent / 'last_checkpoint').unlink()
    write_config(project, 'kd/kd_best_pair', needs='teacher/best_accuracy_top1_epoch_2.pth')
    done = cli('kd_best_pair', 'kd_logits_pair')
    assert done.code == 0 and set(done.names) == {'kd_best_pair', 'kd_logits_pair'}


def test_a_prerequisite_that_is_not_written(cli, project):
    """Such as one that a checkpoint hook calls otherwise."""
    train = (project / 'train.py').read_text()
    (project / 'train.py').write_text(train.replace("f'epoch_{epochs}.pth'", "'latest.pth'"))
    done = cli('amkd_pair')
    assert done.code == 1 and done.names == ['grand']
    assert 'teacher could not be trained' in (project / 'bench/results.md').read_text()


def test_configs_of_the_same_name(cli, project):
    """They differ, so they do not share runs; nor do their names in the table."""
    write_config(project, 'other/small', ', width=2')
    paths = [project / f'configs/{folder}/small.py' for folder in ('vanilla', 'other')]
    done = cli(seeds='0', paths=paths)
    assert done.code == 0 and len(set(done.folders)) == 2
    assert list(done.table) == ['vanilla/small', 'other/small']


def test_names_tell_configs_apart(benchmark):
    def names(*paths):
        paths = list(map(Path, paths))
        return [benchmark.name_of(path, paths) for path in paths]

    assert names('/a/x.py', '/a/y.py') == ['x', 'y']
    assert names('/a/1/b/x.py', '/a/2/b/x.py', '/a/y.py') == ['1/b/x', '2/b/x', 'y']
    assert names('/a/x.py', '/a/x.json') == ['/a/x.py', '/a/x.json']


BY_ITER = 'train_cfg = dict(by_epoch=False, max_iters=2, val_interval=1)'
LOGGED = f'{BY_ITER}\ndefault_hooks = dict(logger=dict(log_metric_by_epoch=False)'
SAVED = f'{LOGGED}, checkpoint=dict(by_epoch=False))'


@pytest.mark.parametrize(
    ('config', 'text', 'message'),
    [
        ('vanilla/small', 'model = dict(', 'small.py: SyntaxError'),
        ('vanilla/small', 'model = dict(a=1)', 'small.py: there is no `train_cfg`'),
        ('vanilla/small', "_base_ = 'nothing.py'", 'small.py: '),
        # All validations would be those of step 0.
        ('vanilla/small', dict(rest=BY_ITER), '`default_hooks.logger.log_metric_by_epoch=False`'),
        ('vanilla/small', dict(rest=LOGGED + ')'), '`default_hooks.checkpoint.by_epoch=False`'),
        ('two/teacher', dict(rest=BY_ITER), 'teacher.py: `train_cfg` counts iterations'),
        # Checkpoints that cannot be trained.
        ('x/other', dict(needs='nothing/epoch_2.pth'), 'no nothing.py'),
        ('x/other', dict(needs='../epoch_2.pth'), 'no config writes'),
        ('x/other', dict(needs='small/epoch_9.pth'), 'ends with epoch_2.pth'),
        ('x/other', dict(needs='other/epoch_2.pth'), 'would need work_dirs/other/epoch_2.pth'),
    ],
)
def test_refused_before_anything_is_trained(cli, project, config, text, message):
    """What is given, or a teacher that it needs."""
    if isinstance(text, str):
        (project / f'configs/{config}.py').write_text(text)
    else:
        write_config(project, config, **text)
    done = cli('amkd_pair' if config == 'two/teacher' else Path(config).name)
    assert message in done.code and done.names == []


def test_iterations_logged_as_such(cli, project):
    write_config(project, 'vanilla/small', rest=SAVED)
    assert cli('small').names == ['small', 'small']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--launcher', 'pytorch'], 'needs --nproc'),
        (['--launcher', 'slurm', '--nproc', '8'], 'needs --partition'),
        (['--cfg-options', 'randomness.seed=1'], 'by --seeds'),
        (['--methods', 'kd'], '--methods needs --pair'),
    ],
)
def test_mistakes_in_options(cli, capsys, options, message):
    assert cli('small', options=options).code == 2
    assert message in capsys.readouterr().err


def test_a_pair_and_methods_instead_of_files(cli, project, benchmark, monkeypatch, capsys):
    """Their configs are trained, in the order of the methods, and no others."""
    monkeypatch.setattr(benchmark, 'CONFIGS', project / 'configs')
    names = ['vanilla/s_1xb8_digits', 'kd/kd_logits_t_s_1xb8_digits', 'amkd/amkd_t_s_1xb8_digits']
    for name in names:
        write_config(project, name)
    stems = [Path(name).name for name in names]
    done = cli(seeds='0', options=['--pair', 't_s', '--methods', 'amkd', 'vanilla'], paths=[])
    assert (done.code, done.names) == (0, [stems[2], stems[0]])
    # Without methods all of them, beside files.
    assert cli('small', seeds='0', options=['--pair', 't_s_digits']).names == ['small', stems[1]]
    assert cli(options=['--pair', 't_s', '--methods', 'ofd'], paths=[]).code == 2
    assert '--methods ofd: t_s_digits has no such config' in capsys.readouterr().err


def test_nothing_to_compare(cli, capsys):
    assert cli(paths=[]).code == 2
    assert 'give configs, or --pair' in capsys.readouterr().err


def test_a_config_that_is_missing(cli, capsys):
    assert cli(paths=['nothing.py']).code == 2
    assert 'CONFIG: no such file: nothing.py' in capsys.readouterr().err


def test_two_benchmarks_in_one_folder(cli, project):
    with lock(project / 'bench/.lock'):
        done = cli('small')
    assert 'another benchmark' in done.code and done.names == []


# As a user runs it


def start_cli(folder, configs):
    command = [sys.executable, ROOT / 'tools/benchmark.py', *configs, '--seeds', '0', '1']
    command += ['--work-dir', 'bench', '--jobs', '2', '--cfg-options', 'train_cfg.max_epochs=2']
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    env = {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'}
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return subprocess.Popen(command, cwd=folder, env=env, **pipes)


def processes_in(folder):
    """Command lines of the processes that train below a folder."""
    lines = (' '.join(p.info['cmdline'] or []) for p in psutil.process_iter(['cmdline']))
    return [line for line in lines if 'train.py' in line and str(folder) in line]


@pytest.mark.slow
@pytest.mark.parametrize('kind', [signal.SIGTERM, signal.SIGKILL])
def test_killed_and_started_again(tmp_path, kind):
    """A finished run is not run again, and a run left behind is not run beside itself."""
    alone, kd = 'resnet8_1xb64_digits', 'kd_logits_resnet26_resnet8_1xb64_digits'
    configs = [ROOT / f'configs/vanilla/{alone}.py', ROOT / f'configs/kd/{kd}.py']
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
    if kind == signal.SIGTERM:
        assert processes_in(tmp_path) == []
    # A run left behind may be complete, and its process still note the last of it.
    runs = [Run(setting('x', length=2), 0, f) for f in sorted(tmp_path.glob('bench/*/seed_*'))]
    done = [r.folder for r in runs if r.is_complete() and not processes_in(r.folder)]
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
        # Of each run, a killed benchmark's included.
        assert row['memory (MiB)'].endswith(' (process)')
    assert table[kd]['alone (%)'] == table[alone]['last epoch (%)']
    teacher = read_scalars(tmp_path / 'work_dirs/resnet26_1xb64_digits')[1][12]['accuracy/top1']
    assert table[kd]['teacher (%)'] == f'{teacher:.2f}'
    assert table[kd]['teacher: M parameters, M MACs'] == '0.367, 3.45'
    # Seeds are what makes runs differ.
    configs = [Config.fromfile(next(f.glob('*/vis_data/config.py'))) for f in folders[kd]]
    assert [cfg.randomness.seed for cfg in configs] == [0, 1]
