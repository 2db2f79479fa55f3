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

from amkd_mm.benchmarking.choosing import choose_configs
from amkd_mm.benchmarking.comparison import summarise
from amkd_mm.benchmarking.plots import draw_bars, draw_curves
from amkd_mm.benchmarking.progress import Progress
from amkd_mm.benchmarking.records import Run, Setting, checkpoint_written
from amkd_mm.benchmarking.running import train_all
from amkd_mm.benchmarking.settings import (
    BenchmarkError,
    check_logs,
    checkpoints_read,
    digest,
    find_prerequisites,
    fingerprint,
    is_written,
    load_config,
    span_of,
)
from amkd_mm.benchmarking.tables import replace, write_tables
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


def command_of(args, run, slot):
    """Command line and environment variables of a run in one of the parallel slots."""
    options = ['--cfg-options', *run.setting.options, f'randomness.seed={run.seed}']
    checkpoint = checkpoint_to_resume(run.folder)
    if checkpoint is not None:
        options = ['--resume', checkpoint, *options]
    config, folder = str(run.setting.config), str(run.folder)
    # The scripts start `python`, which has to be this one.
    env = dict(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']]))
    if args.launcher == 'slurm':
        env.update(GPUS=str(args.nproc), GPUS_PER_NODE=str(args.gpus_per_node))
        env.update(MASTER_PORT=str(int(os.environ.get('MASTER_PORT', 29500)) + slot))
        script = ['bash', str(TOOLS / 'slurm_train.sh'), args.partition, run.setting.config.stem]
        return [*script, config, folder, *options], env
    options = ['--work-dir', folder, *options]
    if args.jobs > 1:
        env.update(share_of_machine(args, slot))
    if args.launcher == 'pytorch':
        env.update(PORT=str(int(os.environ.get('PORT', 29500)) + slot))
        script = ['bash', str(TOOLS / 'dist_train.sh')]
        return [*script, config, str(args.nproc), *options], env
    return [sys.executable, str(TOOLS / 'train.py'), config, *options], env


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


def train(runs, args, ended=lambda run, skipped: None):
    """Train runs with the options of the command line; ``ended`` is told of each."""
    with Progress(len(runs)) as progress:

        def tell(run, skipped):
            progress.ended(run, skipped)
            ended(run, skipped)

        train_all(runs, args.jobs, partial(command_of, args), tell, progress.show)


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
    # Their order is that of need, so that each round trains all it can.
    while writers:
        runs = {}
        for checkpoint, config in list(writers.items()):
            cfg = load_config(config)
            needed = [path for path in checkpoints_read(cfg) if not is_written(path)]
            if set(needed) & errors.keys():
                errors[checkpoint] = f'{config.stem} could not be trained: {needed[0]} is missing'
            elif not needed:
                runs[checkpoint] = prerequisite(checkpoint, config, cfg, args.nproc)
            else:
                continue
            del writers[checkpoint]
        train(list(runs.values()), args)
        for checkpoint, run in runs.items():
            error = run.error or (not is_written(checkpoint) and f'it did not write {checkpoint}')
            if error:
                errors[checkpoint] = f'{run.setting.config.stem} could not be trained: {error}'
    return errors


def prerequisite(checkpoint, config, cfg, processes):
    """The training of a checkpoint, in the folder that tools/train.py would take, too."""
    folder = checkpoint.parent.resolve()
    settings = dict(config=str(config), fingerprint=fingerprint(cfg, processes))
    if checkpoint_written(folder) and noted_fingerprint(folder) != settings['fingerprint']:
        raise BenchmarkError(
            f'{checkpoint} is missing, and {folder} holds an unfinished run, perhaps of other '
            'settings: finish it with tools/train.py --resume, or move it away'
        )
    note(folder, settings)
    setting = Setting(f'prerequisite {config.stem}', config, folder, *span_of(cfg.train_cfg))
    return Run(setting, 0, folder)


def note(folder, settings):
    """Write whose runs a folder holds."""
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / 'settings.json', json.dumps(settings, indent=2) + '\n')


def noted_fingerprint(folder):
    """Of the settings whose runs a folder holds, None if it is new."""
    path = folder / 'settings.json'
    return json.loads(path.read_text(encoding='utf-8'))['fingerprint'] if path.exists() else None


def folder_of(parent, settings):
    """The folder of these settings: ``parent``, or one below where that has others' runs."""
    for folder in (parent, parent / settings['fingerprint'][:8]):
        if noted_fingerprint(folder) in (None, settings['fingerprint']):
            note(folder, settings)
            if folder != parent:
                print(f'{parent} has other settings than these, which go to {folder}')
            return folder
    raise BenchmarkError(f'{folder} belongs to other settings; move it away')


def setting_of(name, config, args):
    """A config with the options, and the folder of its runs."""
    cfg = load_config(config, args.cfg_options)
    unit, length = span_of(cfg.train_cfg)
    settings = dict(
        config=str(config),
        options=args.cfg_options,
        processes=args.nproc,
        fingerprint=fingerprint(cfg, args.nproc),
    )
    return Setting(
        name=name,
        config=config,
        folder=folder_of(args.work_dir / config.stem, settings),
        unit=unit,
        length=length,
        # MMEngine's defaults.
        val_interval=cfg.train_cfg.get('val_interval', 1 if unit == 'epoch' else 1000),
        data=digest(cfg.val_dataloader.dataset.to_dict()),
        options=args.cfg_options,
    )


def count_networks(settings, work_dir):
    """Fill in the sizes of the networks, all in one process, unless noted before."""
    notes = {setting.name: setting.folder / 'networks.json' for setting in settings}
    unknown = [path.parent for path in notes.values() if not path.exists()]
    if unknown:
        root = str(Path(amkd_mm.__file__).parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get('PYTHONPATH')]))
        with open(work_dir / 'networks.log', 'w') as log:
            command = [sys.executable, '-m', 'amkd_mm.benchmarking.complexity', *map(str, unknown)]
            subprocess.run(command, env={**os.environ, 'PYTHONPATH': path}, stdout=log, stderr=log)
    for setting in settings:
        path = notes[setting.name]
        if path.exists():
            setting.networks = json.loads(path.read_text(encoding='utf-8'))
        else:
            print(f'{setting.name}: the networks could not be counted, see {log.name}')


def name_of(config, configs):
    """The file's name; where several have that one, after the folders that tell them apart."""
    same = [other for other in configs if other.stem == config.stem]
    if len(same) == 1:
        return config.stem
    if len({other.parent for other in same}) < len(same):
        return str(config)  # Only the suffix tells them apart.
    return config.with_suffix('').relative_to(os.path.commonpath(same)).as_posix()


def plan(configs, args, errors):
    """The settings and runs of all configs; those that lack a checkpoint have failed already.

    Returns:
        tuple[list[Setting], list[Run]]: Settings, and runs of each setting in turn.
    """
    settings, runs = [], []
    for config in configs:
        name = name_of(config, configs)
        read = checkpoints_read(load_config(config, args.cfg_options))
        error = next((errors[path] for path in read if path in errors), '')
        if error:
            setting = Setting(name, config, args.work_dir / config.stem)
        else:
            setting = setting_of(name, config, args)
            if any(setting.folder == other.folder for other in settings):
                continue  # The same settings in two files.
        settings.append(setting)
        status = 'failed' if error else 'waiting'
        runs += [Run(setting, n, setting.folder / f'seed_{n}', status, error) for n in args.seeds]
    return settings, runs


def benchmark(args):
    """Do all of it; returns the exit code."""
    errors = train_prerequisites(args.configs, args)
    settings, runs = plan(args.configs, args, errors)
    # Seed by seed, so that there is something to compare early.
    waiting = [r for seed in args.seeds for r in runs if (r.seed, r.status) == (seed, 'waiting')]
    count_networks([run.setting for run in waiting if run.seed == args.seeds[0]], args.work_dir)

    def ended(run, skipped):
        if not skipped:
            report(args.work_dir, settings, runs)

    train(waiting, args, ended)
    print(f'\n{report(args.work_dir, settings, runs)}')
    print(f'Tables, pictures and runs: {args.work_dir}')
    return int(any(run.status == 'failed' for run in runs))


def parse_args():
    """Options of the command line, with paths made absolute."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='*', metavar='CONFIG', help='file, or `package::path`')
    pair = 'shipped configs of TEACHER_STUDENT, or of TEACHER_STUDENT_DATA, such as vgg13_vgg8'
    parser.add_argument('--pair', help=pair)
    methods = 'of the pair, such as vanilla (the student alone), kd, amkd-dkd (default: all)'
    parser.add_argument('--methods', nargs='+', default=[], metavar='NAME', help=methods)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], metavar='N')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/benchmark'))
    jobs = 'runs at a time (default: 1); what they share makes them slower'
    parser.add_argument('--jobs', type=int, default=1, help=jobs)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none')
    parser.add_argument('--nproc', type=int, help='processes, or GPUs, of a run with a launcher')
    parser.add_argument('--gpus-per-node', type=int, help='for slurm (default: 8 or all of a run)')
    parser.add_argument('--partition', help='for slurm')
    options = dict(nargs='+', default=[], metavar='KEY=VALUE')
    options['help'] = 'as of tools/train.py, for all given configs, not for what they start from'
    parser.add_argument('--cfg-options', **options)
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
    if not args.configs and not args.pair:
        parser.error('give configs, or --pair')
    if args.methods and not args.pair:
        parser.error('--methods needs --pair')
    found = [Path(config_argument(parser, config, 'CONFIG')) for config in args.configs]
    if args.pair:
        try:
            found += choose_configs(CONFIGS, args.pair, args.methods)
        except BenchmarkError as error:
            parser.error(str(error))
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
