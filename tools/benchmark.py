"""Train several configs with several seeds and compare them in a table.

``python tools/benchmark.py CONFIG... --seeds 0 1 2`` trains what is missing, teachers included, and
writes ``results.md``, ``results.csv``, ``results.json``, ``runs.jsonl``, ``accuracy.png`` and
``curves.png`` to the work directory, anew after each run. Interrupted, the same command goes on.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

if __name__ == '__main__':
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm

import torch

from amkd_mm.benchmarking import (
    BenchmarkError,
    Run,
    Setting,
    checkpoint_written,
    draw_bars,
    draw_curves,
    find_prerequisites,
    fingerprint,
    load_config,
    read_run,
    span_of,
    summarise,
    write_tables,
)
from amkd_mm.benchmarking.progress import Progress
from amkd_mm.benchmarking.running import Job, train_all
from amkd_mm.benchmarking.settings import check_logs, checkpoints_read, digest, is_written
from amkd_mm.checkpoints.files import newest_whole
from amkd_mm.cli.folder_lock import NAME, lock
from amkd_mm.config.names import config_argument

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / 'configs'


def checkpoint_to_resume(folder):
    """The newest whole checkpoint of a run; None if it has to begin anew."""
    try:
        return newest_whole(folder)
    except ValueError as error:
        print(f'{error}: it begins anew', flush=True)
        return None


def command_of(args, job, slot):
    """Command line and environment variables of a job in one of the parallel slots."""
    options = ['--cfg-options', *job.options, f'randomness.seed={job.seed}']
    checkpoint = checkpoint_to_resume(job.folder)
    if checkpoint is not None:
        options = ['--resume', checkpoint, *options]
    config, folder = str(job.config), str(job.folder)
    # The scripts start `python`, which has to be this one.
    env = dict(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']]))
    if args.launcher == 'slurm':
        env.update(GPUS=str(args.nproc), GPUS_PER_NODE=str(args.gpus_per_node))
        env.update(MASTER_PORT=str(int(os.environ.get('MASTER_PORT', 29500)) + slot))
        script = ['bash', str(TOOLS / 'slurm_train.sh')]
        return [*script, args.partition, job.config.stem, config, folder, *options], env
    if args.jobs > 1:
        env.update(share_of_machine(args, slot))
    if args.launcher == 'pytorch':
        env.update(PORT=str(int(os.environ.get('PORT', 29500)) + slot))
        script = ['bash', str(TOOLS / 'dist_train.sh')]
        return [*script, config, str(args.nproc), '--work-dir', folder, *options], env
    return [sys.executable, str(TOOLS / 'train.py'), config, '--work-dir', folder, *options], env


def share_of_machine(args, slot):
    """Environment variables that give each slot its threads, and its own GPUs if they suffice."""
    env = {}
    if 'OMP_NUM_THREADS' not in os.environ:
        env['OMP_NUM_THREADS'] = str(max(1, (os.cpu_count() or 1) // (args.jobs * args.nproc)))
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if visible is None:
        visible = ','.join(map(str, range(torch.cuda.device_count())))
    gpus = [gpu for gpu in visible.split(',') if gpu]
    places = len(gpus) // args.nproc
    if places > 1:
        first = slot % places * args.nproc
        env['CUDA_VISIBLE_DEVICES'] = ','.join(gpus[first : first + args.nproc])
    return env


def train(jobs, args, ended, progress):
    """Train jobs with the options of the command line."""
    train_all(list(jobs), args.jobs, partial(command_of, args), ended, progress.show)


def report(work_dir, settings, runs):
    """Write tables and pictures; returns the table."""
    text = write_tables(work_dir, summarise(settings, runs), runs)
    if any(run.status == 'complete' for run in runs):
        for name, draw in (('accuracy.png', draw_bars), ('curves.png', draw_curves)):
            try:
                draw(settings, runs).savefig(work_dir / name, dpi=150)
            except Exception as error:  # The runs to come are worth more than a picture.
                print(f'{name} could not be drawn: {type(error).__name__}: {error}', flush=True)
    return text


def train_prerequisites(configs, args):
    """Train the missing checkpoints that configs start from, each once.

    Returns:
        dict[Path, str]: Error of each checkpoint that could not be trained.
    """
    writers, errors = {}, {}
    for config in configs:
        cfg = load_config(config, args.cfg_options)
        check_logs(config, cfg)
        find_prerequisites(config, cfg, CONFIGS, writers)
    progress = Progress(len(writers), args.jobs)
    # Their order is that of need, so that each round trains all it can.
    while writers:
        jobs = {}
        for checkpoint, config in list(writers.items()):
            cfg = load_config(config)
            needed = [path for path in checkpoints_read(cfg) if not is_written(path)]
            if set(needed) & errors.keys():
                errors[checkpoint] = f'{config.stem} could not be trained: {needed[0]} is missing'
                del writers[checkpoint]
            elif not needed:
                jobs[prerequisite_job(checkpoint, config, cfg, args.nproc)] = checkpoint
                del writers[checkpoint]

        def ended(job, error, skipped, jobs=jobs):
            progress.ended(job, error, skipped)
            if error is None and not is_written(jobs[job]):
                error = f'it did not write {jobs[job]}'
            if error is not None:
                errors[jobs[job]] = f'{job.config.stem} could not be trained: {error}'

        train(jobs, args, ended, progress)
    return errors


def prerequisite_job(checkpoint, config, cfg, processes):
    """The training of a checkpoint, in the folder that tools/train.py would take, too."""
    folder = checkpoint.parent.resolve()
    settings = dict(config=str(config), fingerprint=fingerprint(cfg, processes))
    note = folder / 'settings.json'
    known = note.exists() and json.loads(note.read_text(encoding='utf-8'))
    if checkpoint_written(folder) and (
        not known or known['fingerprint'] != settings['fingerprint']
    ):
        raise BenchmarkError(
            f'{checkpoint} is missing, and {folder} holds an unfinished run, perhaps of other '
            'settings: finish it with tools/train.py --resume, or move it away'
        )
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(settings, indent=2) + '\n', encoding='utf-8')
    return Job(f'prerequisite {config.stem}', config, folder, *span_of(cfg.train_cfg))


def settings_of(name, config, args):
    """Length, folder and more of a config with the options."""
    cfg = load_config(config, args.cfg_options)
    unit, length = span_of(cfg.train_cfg)
    found = dict(
        config=str(config),
        options=args.cfg_options,
        processes=args.nproc,
        fingerprint=fingerprint(cfg, args.nproc),
    )
    return Setting(
        name=name,
        config=config,
        folder=folder_of(args.work_dir / config.stem, found),
        unit=unit,
        length=length,
        # MMEngine's defaults.
        val_interval=cfg.train_cfg.get('val_interval', 1 if unit == 'epoch' else 1000),
        data=digest(cfg.val_dataloader.dataset.to_dict()),
    )


def folder_of(parent, found):
    """The folder of these settings: ``parent``, or one below where that has others' runs."""
    for folder in (parent, parent / found['fingerprint'][:8]):
        note = folder / 'settings.json'
        if not note.exists():
            folder.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(found, indent=2) + '\n', encoding='utf-8')
        if json.loads(note.read_text(encoding='utf-8'))['fingerprint'] == found['fingerprint']:
            if folder != parent:
                print(f'{parent} has other settings than these, which go to {folder}')
            return folder
    raise BenchmarkError(f'{folder} belongs to other settings; move it away')


def count_networks(settings, args):
    """Fill in the sizes of the networks, all in one process, unless noted before."""
    notes = {setting.name: setting.folder / 'networks.json' for setting in settings}
    unknown = [setting for setting in settings if not notes[setting.name].exists()]
    if unknown:
        out = args.work_dir / 'networks.json'
        command = [sys.executable, '-m', 'amkd_mm.benchmarking.complexity', str(out)]
        command += [str(setting.config) for setting in unknown]
        if args.cfg_options:
            command += ['--cfg-options', *args.cfg_options]
        root = str(Path(amkd_mm.__file__).parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get('PYTHONPATH')]))
        with open(args.work_dir / 'networks.log', 'w') as log:
            env = {**os.environ, 'PYTHONPATH': path}
            subprocess.run(command, env=env, stdout=log, stderr=log)
        sizes = json.loads(out.read_text()) if out.exists() else [{}] * len(unknown)
        for setting, size in zip(unknown, sizes, strict=True):
            if size:
                notes[setting.name].write_text(json.dumps(size), encoding='utf-8')
            else:
                print(f'{setting.name}: the networks could not be counted, see {log.name}')
        out.unlink(missing_ok=True)
    for setting in settings:
        note = notes[setting.name]
        setting.networks = json.loads(note.read_text()) if note.exists() else {}


def name_of(config, configs):
    """The file's name, after as many of its folders as tell it from the others."""
    places = {other: other.with_suffix('').parts[1:] for other in configs}
    for length in range(1, len(places[config]) + 1):
        name = places[config][-length:]
        if sum(place[-length:] == name for place in places.values()) == 1:
            return '/'.join(name)
    # Only the suffix does.
    return str(config)


def plan(configs, args, errors):
    """The settings and runs of all configs; those that lack a checkpoint have failed already.

    Returns:
        tuple[list[Setting], dict[tuple, Run]]: Settings, and runs by setting and seed.
    """
    settings, runs = [], {}
    for config in configs:
        name = name_of(config, configs)
        read = checkpoints_read(load_config(config, args.cfg_options))
        error = next((errors[path] for path in read if path in errors), None)
        if error is None:
            setting = settings_of(name, config, args)
            if any(setting.folder == other.folder for other in settings):
                continue  # The same settings in two files.
        else:
            setting = Setting(name, config, args.work_dir / config.stem)
        settings.append(setting)
        status = 'waiting' if error is None else 'failed'
        for seed in args.seeds:
            folder = setting.folder / f'seed_{seed}'
            runs[setting.name, seed] = Run(setting.name, seed, str(folder), status, error or '')
    return settings, runs


def benchmark(args):
    """Do all of it; returns the exit code."""
    errors = train_prerequisites(args.configs, args)
    settings, runs = plan(args.configs, args, errors)
    trainable = {s.name: s for s in settings if runs[s.name, args.seeds[0]].status == 'waiting'}
    count_networks(list(trainable.values()), args)

    # Seed by seed, so that there is something to compare early.
    jobs = [
        Job(s.name, s.config, s.folder / f'seed_{n}', s.unit, s.length, n, tuple(args.cfg_options))
        for n in args.seeds
        for s in trainable.values()
    ]
    progress = Progress(len(jobs), args.jobs)

    def ended(job, error, skipped):
        progress.ended(job, error, skipped)
        key = job.name, job.seed
        if error is None:
            runs[key] = read_run(trainable[job.name], job.seed, job.folder)
        else:
            runs[key].status, runs[key].error = 'failed', error
        if not skipped:
            report(args.work_dir, settings, list(runs.values()))

    train(jobs, args, ended, progress)
    print(f'\n{report(args.work_dir, settings, list(runs.values()))}')
    print(f'Tables, pictures and runs: {args.work_dir}')
    return int(any(run.status == 'failed' for run in runs.values()))


def parse_args():
    """Options of the command line, with paths made absolute."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='file, or `package::path`')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], metavar='N')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/benchmark'))
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        help='runs at a time (default: 1); what they share makes them slower',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none')
    parser.add_argument('--nproc', type=int, help='processes, or GPUs, of a run with a launcher')
    parser.add_argument('--gpus-per-node', type=int, help='for slurm (default: 8 or all of a run)')
    parser.add_argument('--partition', help='for slurm')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='as of tools/train.py, for all given configs, not for what they start from',
    )
    args = parser.parse_args()
    if args.launcher == 'none':
        args.nproc = 1
    elif not args.nproc:
        parser.error(f'--launcher {args.launcher} needs --nproc')
    if args.launcher == 'slurm' and not args.partition:
        parser.error('--launcher slurm needs --partition')
    args.gpus_per_node = args.gpus_per_node or min(args.nproc, 8)
    if any(option.startswith('randomness.seed=') for option in args.cfg_options):
        parser.error('seeds are given by --seeds, not by --cfg-options')
    found = (Path(config_argument(parser, config, 'CONFIG')) for config in args.configs)
    args.configs = list(dict.fromkeys(config.resolve() for config in found))
    args.seeds = list(dict.fromkeys(args.seeds))
    args.jobs = max(1, args.jobs)
    args.work_dir = args.work_dir.resolve()
    return args


def main():
    args = parse_args()
    # As Ctrl-C does, so that running trainings are ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    locked = lock(args.work_dir / NAME)
    if locked is None:
        sys.exit(f'benchmark.py: another benchmark is writing to {args.work_dir}')
    with locked:
        try:
            sys.exit(benchmark(args))
        except BenchmarkError as error:
            sys.exit(f'benchmark.py: {error}')
        except KeyboardInterrupt:
            sys.exit('\ninterrupted; the same command goes on')


if __name__ == '__main__':
    main()
