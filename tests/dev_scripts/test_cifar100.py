"""The literature's table on CIFAR-100: its page, its files, and the command that fills it."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from mmengine.config import Config

from coloured_cifar100 import UNCHECKED, save_teacher, write_cifar100
from scripts import load_script

ROOT = Path(__file__).parents[2]
# What a trial must not touch.
KEPT = [ROOT / 'docs/benchmark.md', ROOT / 'docs/results/cifar100.csv']


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / '.dev_scripts'))
    import cifar100_report

    return cifar100_report


@pytest.fixture
def driver(report):
    import cifar100

    return cifar100


def run_of(pair, method, seed, accuracy, best, teacher='72.00'):
    values = dict(pair=pair, method=method, seed=str(seed), accuracy=accuracy, best=best)
    return {(pair, method, str(seed)): dict(values, teacher=teacher)}


def test_the_page_is_up_to_date(report, driver):
    page = report.PAGE.read_text(encoding='utf-8')
    renewed = report.renew(page, driver.read_published(), driver.read_runs(driver.RUNS))
    assert renewed == page, 'run `python .dev_scripts/cifar100_report.py`'
    # Each pair of the literature has its table.
    commands = re.findall(rf'^`{re.escape(report.COMMAND)} (\S+)`$', page, re.MULTILINE)
    assert commands == driver.pairs()
    assert page.count('| teacher |') == len(commands) == 13


def test_every_config_of_a_pair_and_every_published_figure_is_in_its_table(report, driver):
    tables = report.PAGE.read_text(encoding='utf-8').split('### ')[1:]
    published = driver.read_published()
    for pair, text in zip(driver.pairs(), tables, strict=True):
        assert f' {pair}`' in text
        names = re.findall(r'\(`(\S+)`\) \|', text)
        assert set(names) == driver.methods_of(pair).keys()
        assert len(names) == len(set(names))
        figures = [row['accuracy'] for (of, _), row in published.items() if of == pair]
        assert sorted(figures) == sorted(re.findall(r'^\|[^|]+\| (\d\d\.\d\d)', text, re.MULTILINE))


def test_every_source_has_its_link_on_the_page(report, driver):
    page = report.PAGE.read_text(encoding='utf-8')
    sources = {row['source'] for row in driver.read_published().values()}
    assert len(sources) == 7
    for source in sources:
        repository, commit = source.split('@')
        assert f'[{commit}](https://github.com/{repository}/blob/{commit}/README.md)' in page
        assert re.search(rf'^\| {repository.split("/")[1]}\b', page, re.MULTILINE)


def test_published_figures_are_of_one_kind(driver):
    """Percent, each once; those that everybody copies are what CRD's page has."""
    with open(driver.PUBLISHED, newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(driver.read_published())
    for row in rows:
        assert re.fullmatch(r'[5-7]\d\.\d\d', row['accuracy']), row
        assert row['epoch'] in ('', 'last', 'best')
    published = driver.read_published()
    students = dict(resnet20='69.06', vgg8='70.36', **{'mobilenet-v2': '64.60'})
    for pair in driver.pairs():
        student = pair.split('_')[1]
        assert published[pair, 'vanilla']['accuracy'] == students.get(
            student, published[pair, 'vanilla']['accuracy']
        )
        assert float(published[pair, 'teacher']['accuracy']) > 72


def test_a_table_has_published_figures_beside_own_runs(report):
    """Of 70 and 71 the mean is 70.50 and the sample standard deviation 0.71."""
    pair = 'vgg13_vgg8'
    figure = dict(accuracy='72.98', std='0.10', n='5', epoch='last', source='Somebody/Code@abc')
    runs = {
        **run_of(pair, 'dkd', 0, '70.00', '70.20'),
        **run_of(pair, 'dkd', 1, '71.00', '71.40'),
        **run_of(pair, 'kd', 0, '69.00', '69.50'),
        **run_of('resnet56_resnet20', 'kd', 1, '10.00', '10.00', '11.00'),
    }
    published = {(pair, 'dkd'): figure, (pair, 'crd'): figure, (pair, 'teacher'): figure}
    rows = report.table(pair, published, runs).splitlines()
    cited = '72.98 ± 0.10 | Code, last epoch, n = 5'
    assert f'| teacher | {cited} | 72.00 |  |  |' in rows
    assert f'| DKD (`dkd`) | {cited} | 70.50 ± 0.71 | 70.80 ± 0.85 | 2 |' in rows
    assert '| KD of this project (`kd`) | - |  | 69.00 | 69.50 | 1 |' in rows
    assert '| BSS (`bss`) | - |  | - | - | - |' in rows
    # No config of this pair, and no figure.
    assert f'| CRD | {cited} | - | - | - |' in rows
    assert not any(row.startswith('| SP') for row in rows)


def test_complete_runs_are_added_once(driver, tmp_path):
    results, work_dir = tmp_path / 'results.csv', tmp_path / 'work'
    work_dir.mkdir()

    def write(*runs):
        (work_dir / 'runs.jsonl').write_text('\n'.join(map(json.dumps, runs)))

    done = dict(seed=0, status='complete', curve={'239': 71.5, '240': 71.234}, teacher=72.3)
    write(dict(done, last=71.234, best=71.5), dict(done, seed=1, status='failed', curve={}))
    driver.collect('vgg13_vgg8', 'dkd', work_dir, 'c0ffee', results)
    write(dict(done, last=1.0, best=1.0), dict(done, seed=2, last=70.0, best=70.0, teacher=None))
    driver.collect('vgg13_vgg8', 'dkd', work_dir, 'later', results)
    runs = driver.read_runs(results)
    first, second = (runs.pop(('vgg13_vgg8', 'dkd', seed)) for seed in '02')
    assert not runs
    assert {k: first[k] for k in ('accuracy', 'best', 'teacher', 'epochs', 'commit')} == dict(
        accuracy='71.23', best='71.50', teacher='72.30', epochs='240', commit='c0ffee'
    )
    assert (second['accuracy'], second['teacher'], second['commit']) == ('70.00', '', 'later')


def test_only_whole_trainings_are_in_the_file(driver):
    for (pair, method, _), run in driver.read_runs(driver.RUNS).items():
        assert method in driver.methods_of(pair)
        assert run['epochs'] == '240' and run['commit'] and run['device']


def test_what_is_to_be_trained(driver, monkeypatch, capsys):
    def todo(*words):
        monkeypatch.setattr('sys.argv', ['cifar100.py', *words])
        return driver.parse_args()

    args = todo('wrn_40_2_wrn_16_2', '--methods', 'dkd', 'kd-published')
    pair = 'wrn-40-2_wrn-16-2'
    assert args.todo == [(pair, 'dkd'), (pair, 'kd-published')]
    assert args.results == driver.RUNS
    # All methods of all pairs.
    assert {pair for pair, _ in todo().todo} == set(driver.pairs())
    # A trial's figures are kept apart.
    args = todo(pair, '--cfg-options', 'train_cfg.max_epochs=1')
    assert args.results == args.work_dir / 'results.csv'
    for words, message in ((['a_b'], 'no such pair: a_b'), ([pair, '--methods', 'x'], 'no x, but')):
        with pytest.raises(SystemExit):
            todo(*words)
        assert message in capsys.readouterr().err


def start(folder):
    """The command on a small CIFAR-100, in a session of its own."""
    command = [sys.executable, ROOT / '.dev_scripts/cifar100.py', 'resnet56_resnet20']
    command += ['--methods', 'kd-published', '--seeds', '0', '--work-dir', 'table']
    command += ['--cfg-options', 'train_cfg.max_epochs=3', 'param_scheduler.milestones=[1]']
    for name in ('train', 'val', 'test'):
        command.append(f'{name}_dataloader.dataset.data_root=cifar')
        command += [f'{name}_dataloader.num_workers=0']
        command += [f'{name}_dataloader.persistent_workers=False']
    env = dict(os.environ, PYTHONPATH=f'{ROOT}{os.pathsep}{folder}', OMP_NUM_THREADS='1')
    streams = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return psutil.Popen([str(word) for word in command], cwd=folder, env=env, **streams)


@pytest.mark.slow
@pytest.mark.parametrize('kind', [signal.SIGTERM, signal.SIGKILL])
def test_stopped_and_started_again(tmp_path, kind):
    """By a queue, which tells it to end; or with all that it started, as by a power cut."""
    write_cifar100(tmp_path / 'cifar', dict(train=128, test=64))
    (tmp_path / 'sitecustomize.py').write_text(UNCHECKED)
    save_teacher('resnet56', tmp_path / 'published.pth')
    tool = load_script(ROOT / 'tools/model_converters/mdistiller2mmpretrain.py')
    state_dict, _ = tool.convert('resnet56', tool.load_state_dict(tmp_path / 'published.pth'))
    teacher = tmp_path / 'work_dirs/resnet56_1xb64_cifar100/epoch_240.pth'
    teacher.parent.mkdir(parents=True)
    tool.torch.save(dict(state_dict=state_dict), teacher)
    kept = [path.read_bytes() for path in KEPT]

    first = start(tmp_path)
    limit = time.time() + 1200
    while not list(tmp_path.glob('table/**/seed_0/epoch_1.pth')):
        assert first.poll() is None, first.communicate()[0]
        assert time.time() < limit
        time.sleep(0.1)
    started = [first, *first.children(recursive=True)]
    for process in [first] if kind == signal.SIGTERM else started:
        process.send_signal(kind)
    first.communicate()
    _, alive = psutil.wait_procs(started, timeout=60)
    assert not alive

    second = start(tmp_path)
    out, _ = second.communicate(timeout=1200)
    assert second.returncode == 0, out
    (run,) = csv.DictReader((tmp_path / 'table/results.csv').read_text().splitlines())
    assert (run['pair'], run['method'], run['seed']) == ('resnet56_resnet20', 'kd-published', '0')
    assert run['epochs'] == '3' and float(run['teacher']) > 90
    logs = [path.read_text() for path in sorted(tmp_path.glob('table/**/seed_0/*/*.log'))]
    assert len(logs) == 2 and 'resumed epoch: ' in logs[1]
    last = re.findall(r' accuracy/top1: (\d+\.\d\d)', logs[1])[-1]
    assert run['accuracy'] == last
    (path,) = tmp_path.glob('table/**/seed_0/*.py')
    model = Config.fromfile(path).model
    assert model.architecture.head.loss.loss_weight == 0.1
    assert model.distiller.distill_losses.loss_kl.loss_weight == 0.9
    # A trial leaves the table of the repository as it is.
    assert kept == [path.read_bytes() for path in KEPT]
