"""Images a second of a training's dataloader by number of workers, and where their time goes.

``python tools/analysis_tools/benchmark_dataloader.py CONFIG`` loads batches as a training would,
without a network, and prints Markdown tables: the first for each number of worker processes, the
second of every transform in one process, and of the data preprocessor on the device. A training
that does more images a second than the first table says waits for its dataloader.
"""

import argparse
import os
import platform
import statistics
import sys
import time

if __name__ == '__main__':
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

import torch
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmrazor.utils import register_all_modules

from amkd_mm.cli.downloads import explain_failed_downloads
from amkd_mm.config.names import config_argument
from amkd_mm.data_preprocessors.building import build_preprocessor
from amkd_mm.datasets.parts import parts_of

DATASET, COLLATE, PREPROCESSOR = 'data set, without its pipeline', 'collate', 'data preprocessor'


def now():
    """Seconds, once the GPU has done its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def build_loader(cfg, workers):
    """The dataloader of the training with another number of workers."""
    settings = {**cfg.train_dataloader, 'num_workers': workers}
    if not workers:
        # PyTorch refuses them without workers.
        settings['persistent_workers'] = False
        settings.pop('prefetch_factor', None)
    return Runner.build_dataloader(settings, seed=0)


def preprocessor_of(cfg):
    """The data preprocessor of the training, on the device."""
    settings = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    return build_preprocessor(settings).to(get_device())


def endless(loader):
    """The batches of one epoch after another."""
    while True:
        yield from loader


def rate(loader, seconds):
    """Images a second, over at least so many seconds, as the training process gets them.

    What workers have prepared in advance is not counted, nor the time that they take to start.
    """
    batches = endless(loader)
    for _ in range(1 + loader.num_workers * (loader.prefetch_factor or 0)):
        next(batches)
    images, started = 0, time.perf_counter()
    while True:
        images += len(next(batches)['inputs'])
        taken = time.perf_counter() - started
        if taken >= seconds:
            return images / taken


class Clock:
    """Adds up the seconds of functions that it wraps, by name, without what they call of others."""

    def __init__(self):
        self.seconds = {}
        self.inner = [0.0]

    def timed(self, name, function):
        """A function that does the same, and whose time counts."""
        self.seconds[name] = 0.0

        def call(*args, **kwargs):
            self.inner.append(0.0)
            started = now()
            try:
                return function(*args, **kwargs)
            finally:
                taken = now() - started
                self.seconds[name] += taken - self.inner.pop()
                self.inner[-1] += taken

        return call

    def read(self):
        """The seconds of each since the last call."""
        found = self.seconds
        self.seconds = dict.fromkeys(found, 0.0)
        return found


def split(loader, preprocessor, seconds):
    """Make batches in this process, for at least so many seconds.

    Args:
        loader (DataLoader): Without workers. Its data sets are changed in place.
        preprocessor (BaseDataPreprocessor): Is called as in a training step.
        seconds (float): For how long.

    Returns:
        dict[str, float]: Seconds an image in each part by its name, those of the median batch.
    """
    clock = Clock()
    fetch = clock.timed(DATASET, loader.dataset.__getitem__)
    for _, part in parts_of(loader.dataset):
        transforms = getattr(getattr(part, 'pipeline', None), 'transforms', None)
        if isinstance(transforms, list):
            transforms[:] = [clock.timed(type(one).__name__, one) for one in transforms]
    collate = clock.timed(COLLATE, loader.collate_fn)
    preprocess = clock.timed(PREPROCESSOR, preprocessor)
    # The first has files to open and memory to get, and is not counted.
    batches, started = [], None
    for indices in endless(loader.batch_sampler):
        preprocess(collate([fetch(index) for index in indices]), True)
        found = clock.read()
        if started is None:
            started = now()
            continue
        batches.append({name: taken / len(indices) for name, taken in found.items()})
        if now() - started >= seconds:
            return {name: statistics.median(one[name] for one in batches) for name in found}


def report(rates, parts):
    """Both tables as text.

    Args:
        rates (dict[int, list[float]]): Images a second by number of workers.
        parts (dict[str, float]): Seconds an image by part.
    """
    medians = {workers: statistics.median(found) for workers, found in rates.items()}
    reference = medians[min(medians)]
    loading = sum(seconds for name, seconds in parts.items() if name != PREPROCESSOR)
    return '\n'.join(
        [
            f'| workers | images a second (min to max) | of {min(medians)} workers |',
            '| ---: | ---: | ---: |',
            *(
                f'| {workers} | {medians[workers]:.0f} ({min(found):.0f} to {max(found):.0f}) | '
                f'{medians[workers] / reference:.2f} |'
                for workers, found in rates.items()
            ),
            '',
            '| part, in one process | us an image | of the loading |',
            '| --- | ---: | ---: |',
            *(
                f'| {name} | {1e6 * seconds:.1f} | {seconds / loading:.2f} |'
                for name, seconds in parts.items()
            ),
        ]
    )


def default_workers():
    """0 and the powers of two up to the number of CPU cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return [0, *(2**power for power in range(cores.bit_length()))]


def number(kind, minimum):
    """What argparse reads numbers with, and refuses those that are too small."""

    def read(text):
        value = kind(text)
        if not value >= minimum:
            raise argparse.ArgumentTypeError(f'{text} is less than {minimum}')
        return value

    read.__name__ = kind.__name__
    return read


def main():
    explain_failed_downloads()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of a training')
    parser.add_argument(
        '--num-workers',
        nargs='+',
        type=number(int, 0),
        default=default_workers(),
        help='numbers of worker processes (default: 0 and powers of two up to that of CPU cores)',
    )
    parser.add_argument(
        '--seconds', type=number(float, 0), default=3, help='of each measurement (default: 3)'
    )
    parser.add_argument(
        '--rounds', type=number(int, 1), default=3, help='measurements of each (default: 3)'
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()

    register_all_modules(False)
    cfg = Config.fromfile(config_argument(parser, args.config))
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    rates = {workers: [] for workers in sorted(set(args.num_workers))}
    loaders = {workers: build_loader(cfg, workers) for workers in rates}
    # In turn, so that other work on the machine slows all of them.
    for _ in range(args.rounds):
        for workers, loader in loaders.items():
            rates[workers].append(rate(loader, args.seconds))
    parts = split(build_loader(cfg, 0), preprocessor_of(cfg), args.rounds * args.seconds)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    print(
        f'Batches of {cfg.train_dataloader.batch_size}; {args.rounds} times {args.seconds:g} s; '
        f'{os.cpu_count()} CPU cores, {device}, torch {torch.__version__}\n'
    )
    print(report(rates, parts))


if __name__ == '__main__':
    main()
