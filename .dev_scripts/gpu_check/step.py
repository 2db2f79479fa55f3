"""Where the time of a training step goes, and whether the loader keeps up: a program.

Trains a config for some steps: timed ones, then steps whose synchronisations are counted, then
profiled ones.
"""

import argparse
import json
import statistics
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmrazor.utils import register_all_modules

from gpu_check import trace

WARMUP, COUNTED = 5, 2


class Finished(Exception):
    """Ends the training."""


def now():
    """Seconds, once the GPU has done its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Stages:
    """Measures steps, all hooks included, by two hooks at either end of them.

    Args:
        timed (int): Steps to time.
        profiled (int): Steps to profile.
    """

    def __init__(self, timed, profiled):
        self.timed, self.profiled = timed, profiled
        self.seconds, self.places, self.events = [], None, None
        self.step = 0
        self.open = ExitStack()

    def begin(self):
        counting = WARMUP + self.timed
        if self.step == counting and torch.cuda.is_available():
            self.places = self.open.enter_context(trace.synchronisations())
        if self.step == counting + COUNTED:
            self.events = self.open.enter_context(trace.trace())
        if WARMUP <= self.step < counting:
            self.began = now()

    def end(self):
        counting = WARMUP + self.timed
        if WARMUP <= self.step < counting:
            self.seconds.append(now() - self.began)
        self.step += 1
        if self.step == counting + COUNTED:
            self.open.close()
        if self.step == counting + COUNTED + self.profiled:
            self.open.close()
            raise Finished


class First(Hook):
    """Before all other hooks."""

    priority = 'HIGHEST'

    def __init__(self, stages):
        self.stages = stages

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.stages.begin()


class Last(Hook):
    """After all other hooks."""

    priority = 'LOWEST'

    def __init__(self, stages):
        self.stages = stages

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.stages.end()


def measure(cfg, timed, profiled):
    """Train for some steps; returns the figures of one."""
    stages = Stages(timed, profiled)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(First(stages))
    runner.register_hook(Last(stages))
    with suppress(Finished):
        runner.train()
    found = trace.figures(stages.events, profiled)
    step_ms = 1000 * statistics.median(stages.seconds)
    rows = runner.message_hub.log_scalars.get('train/boundary/samples')
    batch_size = cfg.train_dataloader.batch_size
    found.update(
        batch_size=batch_size,
        boundary_samples=float(rows.data[0].mean()) if rows else 0.0,
        step_ms=step_ms,
        images_per_second=1000 * batch_size / step_ms,
    )
    if torch.cuda.is_available():
        found.update(
            idle=1 - found['busy_ms'] / step_ms,
            synchronisations=stages.places.number / COUNTED,
            places={name: number / COUNTED for name, number in stages.places.most_common(12)},
            peak_mib=torch.cuda.max_memory_allocated() / 2**20,
        )
    return found


def loader_rate(cfg, workers, seconds):
    """Images a second of the config's loader for training, with a number of workers."""
    settings = dict(cfg.train_dataloader, num_workers=workers, persistent_workers=workers > 0)
    loader = Runner.build_dataloader(settings, seed=0)
    batches, images, began = iter(loader), 0, None
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            batches = iter(loader)
            continue
        if began is None:  # The first batch waits for the workers to start.
            began = time.perf_counter()
            continue
        images += len(batch['data_samples'])
        spent = time.perf_counter() - began
        if spent >= seconds:
            return images / spent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('--json', type=Path, required=True)
    parser.add_argument('--amp', action='store_true')
    parser.add_argument('--batch-size', type=int, required=True)
    parser.add_argument('--timed', type=int, required=True, help='steps to time')
    parser.add_argument('--profiled', type=int, required=True, help='steps to profile')
    parser.add_argument('--loader', type=int, nargs='+', help='measure it with so many workers')
    parser.add_argument('--seconds', type=float, default=2, help='for each number of workers')
    args = parser.parse_args()

    register_all_modules(False)
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(args.config)
    cfg.train_dataloader.batch_size = args.batch_size
    # It is not validated, and boundary samples are made in the first three quarters.
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1000)
    for use in ('val', 'test'):
        for part in ('cfg', 'dataloader', 'evaluator'):
            cfg[f'{use}_{part}'] = None
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    cfg.log_level = 'WARNING'
    if args.loader:
        rates = {}
        for workers in args.loader:
            rates[workers] = round(loader_rate(cfg, workers, args.seconds), 1)
            args.json.write_text(json.dumps(dict(loader=rates)))
            print(f'{workers} workers: {rates[workers]:.0f} images a second', flush=True)
        return
    with tempfile.TemporaryDirectory() as cfg.work_dir:
        found = measure(cfg, args.timed, args.profiled)
    args.json.write_text(json.dumps(found))
    print(json.dumps(found, indent=1))


if __name__ == '__main__':
    main()
