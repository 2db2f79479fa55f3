"""The study behind the defaults of AMKD: named settings, trained over seeds, kept in a CSV file.

``python .dev_scripts/study.py SETTING... --seeds 0 1 2`` trains what ``docs/results/runs.csv``
lacks with ``tools/benchmark.py``, and adds it. ``SETTING`` may have wildcards; ``--list`` shows
them all.

Most runs are short enough for a CPU: 15 epochs, batches of 64, a learning rate that rises in the
first and then falls to zero by a cosine, and small data. Of CIFAR-10 that is a fifth of the
training images (the first fold of MMPretrain's ``KFoldDataset``); settings are chosen on another
fold of them (``--split held-out``), and reported on the test images. Tiny ImageNet is reduced to 32
pixels.

``--data cifar10-full --schedule published`` is the experiment of BSS: all training images, 80
epochs, batches of 256, a learning rate that falls at a half and at three quarters.
"""

import argparse
import os
import subprocess
import sys
from datetime import date
from fnmatch import fnmatch
from pathlib import Path

import kept_runs
import torch
from mmengine import Config
from study_names import NAMES
from study_settings import SETTINGS

from amkd_mm.benchmarking.records import read_lines

ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / 'configs' / '_base_'
RUNS = ROOT / 'docs' / 'results' / 'runs.csv'
# By `study_cost.py`.
COSTS = ROOT / 'docs' / 'results' / 'costs.csv'
# Data and networks.
PARTS = {
    'cifar10': ['datasets/cifar10_folder_bs256', 'models/cifar_resnet'],
    'cifar10-full': ['datasets/cifar10_folder_bs256', 'models/cifar_resnet'],
    'tiny_imagenet': ['datasets/tiny_imagenet_bs128', 'models/cifar_resnet_tiny_imagenet'],
}
KEY = ['data', 'student', 'schedule', 'setting', 'split', 'seed']
TRAINED = [*KEY, 'accuracy', 'commit', 'torch', 'day']
# What `study_measure.py` adds, and from which metrics.
MEASURES = dict(
    ece='calibration/ece',
    agreement='agreement/clean',
    boundary_agreement='agreement/boundary',
    mag_sim='boundary_similarity/mag_sim',
    ang_sim='boundary_similarity/ang_sim',
)


def write_config(name, args):
    """Write the whole config of a setting; returns its path."""
    distiller, options = SETTINGS[name]
    parts = [*PARTS[args.data], 'schedules/cifar10_bs256_80e']
    parts += [f'distillers/{distiller}' if distiller else 'single_network']
    student = f'_base_.resnet{args.depth}'
    model = student
    if distiller:
        teacher = f'teacher=_base_.resnet26, teacher_ckpt={str(args.teacher)!r}'
        model = f'dict(architecture={student}, {teacher})'
    path = args.work_dir / 'configs' / f'{name}.py'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'_base_ = {[f"{BASE / part}.py" for part in parts]}\nmodel = {model}\n')
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(SCHEDULES[args.schedule](args.epochs))
    cfg.merge_from_dict(common(args))
    cfg.merge_from_dict(options)
    # The student alone.
    cfg.val_cfg = cfg.test_cfg = dict()
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(args.data_root)
    if args.data == 'cifar10':
        take_folds(cfg, args.split)
    elif args.data == 'tiny_imagenet':
        reduce_images(cfg)
    cfg.dump(path)
    return path


def take_folds(cfg, split):
    """A fifth of the training images, and another to validate on."""
    # "Test mode" takes the fold rather than the rest; a seed shuffles the images first.
    folds = dict(type='KFoldDataset', num_splits=5, seed=0, test_mode=True)
    train, val = cfg.train_dataloader, cfg.val_dataloader
    train.dataset = dict(folds, fold=0, dataset=train.dataset)
    if split == 'held-out':
        val.dataset.data_prefix = 'train'
        val.dataset = dict(folds, fold=1, dataset=val.dataset)


def reduce_images(cfg):
    """Images of 32 pixels."""
    resize = dict(type='Resize', scale=32, interpolation='area')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.pipeline.insert(1, resize)
    crop = cfg.train_dataloader.dataset.pipeline[2]
    crop.update(crop_size=32, padding=4)


def warmup_cosine(epochs):
    """A short schedule, and a decay that suits it."""
    return {
        # Half of what is usual: so few epochs need more steps, and two cores gain nothing by more.
        'train_dataloader.batch_size': 64,
        'param_scheduler': [
            # Without the first epoch, heavy losses kill units of the student at once.
            dict(type='LinearLR', start_factor=0.05, end=1, convert_to_iter_based=True),
            dict(
                type='CosineAnnealingLR',
                begin=1,
                T_max=epochs - 1,
                end=epochs,
                convert_to_iter_based=True,
            ),
        ],
        'optim_wrapper.optimizer.weight_decay': 5e-4,
    }


def published(epochs):
    """That of BSS, in the same proportions for other epochs."""
    return {'param_scheduler.milestones': [round(epochs / 2), round(epochs * 3 / 4)]}


SCHEDULES = {'batch64-warmup-cosine': warmup_cosine, 'published': published}


def common(args):
    """What all runs have in common."""
    return {
        'train_cfg.max_epochs': args.epochs,
        'train_cfg.val_interval': args.epochs,
        # So that a run that was interrupted goes on.
        'default_hooks.checkpoint.interval': 1,
        'default_hooks.checkpoint.max_keep_ckpts': 1,
    }


def identity(name, args):
    """What identifies a run besides its seed."""
    return (
        args.data,
        f'resnet{args.depth}',
        f'{args.schedule}-{args.epochs}',
        name,
        args.split,
    )


def read_runs():
    """All runs of the CSV file, by what identifies them."""
    return kept_runs.read_runs(RUNS, KEY)


def write_runs(runs):
    """Write them in the order of what identifies them."""
    kept_runs.write_runs(RUNS, [*TRAINED, *MEASURES], runs)


def read_costs():
    """What an iteration of a setting costs: rows by setting."""
    return {setting: row for (setting,), row in kept_runs.read_runs(COSTS, ['setting']).items()}


def train(names, seeds, args):
    """Train, and add what ends to the CSV file, also if it is interrupted; returns the status."""
    configs = [write_config(name, args) for name in names]
    command = [sys.executable, str(ROOT / 'tools' / 'benchmark.py'), *map(str, configs)]
    command += ['--seeds', *map(str, seeds), '--jobs', str(args.jobs)]
    asked = ['git', '-C', str(ROOT), 'rev-parse', '--short', 'HEAD']
    commit = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    try:
        # Where `study_parts` is.
        paths = [str(Path(__file__).parent), os.environ.get('PYTHONPATH', '')]
        environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(paths)}
        command += ['--work-dir', str(args.work_dir)]
        return kept_runs.run(command, env=environment)
    finally:
        collect(commit, args)


def collect(commit, args):
    """Add the complete runs of the work directory to the CSV file."""
    # Another study may have added its own meanwhile.
    runs = read_runs()
    for run in read_lines(args.work_dir / 'runs.jsonl'):
        if run['status'] == 'complete':
            key = (*identity(run['setting'], args), str(run['seed']))
            accuracy = f'{run["curve"][str(args.epochs)]:.2f}'
            row = [*key, accuracy, commit, torch.__version__, date.today()]
            runs.setdefault(key, dict(zip(TRAINED, row, strict=True)))
    write_runs(runs)


def add_options(parser):
    """The options that tell which runs, and where they are."""
    parser.add_argument('settings', nargs='*', metavar='SETTING')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--split', choices=['test', 'held-out'], default='test')
    parser.add_argument('--data', choices=list(PARTS), default='cifar10')
    parser.add_argument('--depth', type=int, default=8, help='of the student (default: 8)')
    parser.add_argument('--schedule', choices=list(SCHEDULES), default='batch64-warmup-cosine')
    parser.add_argument('--epochs', type=int, help='default: 15, or 80 as published')
    parser.add_argument('--data-root', type=Path, default=Path('data/cifar10_folder'))
    parser.add_argument('--teacher', type=Path, default=Path('work_dirs/study_teacher.pth'))
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/study'))


def parse(parser):
    """Options, and the names of the settings that are asked for."""
    args = parser.parse_args()
    for name in ('data_root', 'teacher', 'work_dir'):
        setattr(args, name, getattr(args, name).resolve())
    if args.split == 'held-out' and args.data != 'cifar10':
        parser.error('settings are chosen on `--data cifar10` alone')
    if args.epochs is None:
        args.epochs = 80 if args.schedule == 'published' else 15
    # Runs of another schedule are not to be resumed.
    args.work_dir /= f'{args.data}_resnet{args.depth}_{args.split}_{args.epochs}'
    if args.schedule == 'published':
        args.work_dir = args.work_dir.with_name(f'{args.work_dir.name}_published')
    for pattern in args.settings:
        if not any(fnmatch(name, pattern) for name in SETTINGS):
            parser.error(f'no such setting: {pattern}')
    return args, [n for n in SETTINGS if any(fnmatch(n, pattern) for pattern in args.settings)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument('--list', action='store_true', help='show the settings')
    parser.add_argument('--jobs', type=int, default=1, help='runs at a time (default: 1)')
    args, names = parse(parser)
    if args.list:
        for name in SETTINGS:
            print(f'{name:32}{NAMES[name]}')
        return 0
    known, wanted = read_runs(), {}
    for name in names:
        key = identity(name, args)
        seeds = tuple(seed for seed in args.seeds if (*key, str(seed)) not in known)
        wanted.setdefault(seeds, []).append(name)
    wanted.pop((), None)
    return max((train(names, seeds, args) for seeds, names in wanted.items()), default=0)


if __name__ == '__main__':
    sys.exit(main())
