"""The literature's table on CIFAR-100: trains what is missing of it, and keeps it in a CSV file.

``python .dev_scripts/cifar100.py PAIR... --methods METHOD... --seeds 0 1 2`` trains by
``tools/benchmark.py`` what ``docs/results/cifar100.csv`` lacks, adds it, and renews the tables of
``docs/benchmark.md``. Stopped or killed, the same command goes on. Without ``PAIR`` it trains all
thirteen, and without ``--methods`` all that a pair has configs of.
"""

import argparse
import csv
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import kept_runs
import torch

from amkd_mm.benchmarking.choosing import choose_configs, read_name
from amkd_mm.benchmarking.records import read_lines

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs'
RUNS = ROOT / 'docs' / 'results' / 'cifar100.csv'
# What papers and their repositories report.
PUBLISHED = RUNS.with_name('cifar100_published.csv')
KEY = ['pair', 'method', 'seed']
COLUMNS = [*KEY, 'accuracy', 'best', 'teacher', 'epochs', 'commit', 'torch', 'device', 'day']
# The loss weights of mdistiller's KD: it has no configs of its own, as nothing else differs.
PUBLISHED_KD = 'kd-published'
PUBLISHED_KD_OPTIONS = [
    'model.architecture.head.loss.loss_weight=0.1',
    'model.distiller.distill_losses.loss_kl.loss_weight=0.9',
]


def read_published():
    """Rows of published figures, by pair and method."""
    with open(PUBLISHED, newline='') as file:
        return {(row['pair'], row['method']): row for row in csv.DictReader(file)}


def pairs():
    """All pairs of the table, in its order."""
    return list(dict.fromkeys(pair for pair, _ in read_published()))


def methods_of(pair):
    """The methods that a pair has configs of, with their configs."""
    paths = choose_configs(CONFIGS, f'{pair}_cifar100')
    found = {read_name(path).method: path for path in paths}
    return {**found, PUBLISHED_KD: found['kd']}


def read_runs(path):
    """All runs of a CSV file, by what identifies them."""
    return kept_runs.read_runs(path, KEY)


def train(pair, method, args):
    """Train the missing seeds, and add what is complete, also if it is interrupted."""
    known = read_runs(args.results)
    seeds = [seed for seed in args.seeds if (pair, method, str(seed)) not in known]
    if not seeds:
        return 0
    config = methods_of(pair)[method]
    options = [*PUBLISHED_KD_OPTIONS] if method == PUBLISHED_KD else []
    # A student alone is that of several pairs, and trained once.
    work_dir = args.work_dir / (f'{config.stem}_published' if options else config.stem)
    options += args.cfg_options
    command = [sys.executable, ROOT / 'tools/benchmark.py', config, '--work-dir', work_dir]
    command += ['--seeds', *seeds, '--jobs', args.jobs]
    command += ['--cfg-options', *options] if options else []
    commit = commit_of(ROOT)
    try:
        return kept_runs.run(command)
    finally:
        collect(pair, method, work_dir, commit, args.results)


def commit_of(folder):
    """The commit that is checked out, empty outside of a repository."""
    asked = ['git', '-C', str(folder), 'rev-parse', '--short', 'HEAD']
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip()


def collect(pair, method, work_dir, commit, results):
    """Add the complete runs of a work directory to a CSV file."""
    # Another process may have added its own meanwhile.
    runs = read_runs(results)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
    for run in read_lines(work_dir / 'runs.jsonl'):
        if run['status'] == 'complete':
            key = (pair, method, str(run['seed']))
            teacher = '' if run['teacher'] is None else f'{run["teacher"]:.2f}'
            epochs = max(map(int, run['curve']))
            row = [*key, f'{run["last"]:.2f}', f'{run["best"]:.2f}', teacher, epochs]
            row += [commit, torch.__version__, device, date.today()]
            runs.setdefault(key, dict(zip(COLUMNS, row, strict=True)))
    results.parent.mkdir(parents=True, exist_ok=True)
    kept_runs.write_runs(results, COLUMNS, runs)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('pairs', nargs='*', metavar='PAIR', help=', '.join(pairs()))
    names = f'as of tools/benchmark.py, or {PUBLISHED_KD}: KD with the weights of the literature'
    parser.add_argument('--methods', nargs='+', metavar='METHOD', help=names)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], metavar='N')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/cifar100'))
    parser.add_argument('--jobs', type=int, default=1, help='seeds at a time (default: 1)')
    parser.add_argument('--list', action='store_true', help='show what would be trained')
    trial = 'for a trial, whose results go to results.csv in the work directory'
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help=trial)
    args = parser.parse_args()
    args.work_dir = args.work_dir.resolve()
    args.results = args.work_dir / 'results.csv' if args.cfg_options else RUNS
    known = {pair.replace('-', '_'): pair for pair in pairs()}
    wanted = [pair.replace('-', '_') for pair in args.pairs] or list(known)
    if unknown := [pair for pair in wanted if pair not in known]:
        parser.error(f'no such pair: {" ".join(unknown)}; there are {" ".join(known.values())}')
    args.todo = []
    for pair in dict.fromkeys(known[pair] for pair in wanted):
        there = methods_of(pair)
        if unknown := [name for name in args.methods or [] if name not in there]:
            parser.error(f'{pair} has no {" ".join(unknown)}, but {" ".join(there)}')
        args.todo += [(pair, method) for method in args.methods or there]
    return args


def main():
    args = parse_args()
    if args.list:
        known = read_runs(args.results)
        for pair, method in args.todo:
            done = sum((pair, method, str(seed)) in known for seed in args.seeds)
            print(f'{pair:26}{method:24}{done} of {len(args.seeds)}')
        return 0
    # As Ctrl-C does, so that running trainings are ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        status = max([train(pair, method, args) for pair, method in args.todo])
    except KeyboardInterrupt:
        sys.exit('interrupted; the same command goes on')
    finally:
        if args.results == RUNS:
            import cifar100_report

            cifar100_report.write()
    print(f'Runs: {args.results}')
    return status


if __name__ == '__main__':
    sys.exit(main())
