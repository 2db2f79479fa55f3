"""Time and memory of an AMKD step, beside KD, the student alone and bare PyTorch.

``python tools/analysis_tools/benchmark_step.py CONFIG`` trains a distillation with boundary samples
for a few iterations, in turn with KD by the same Runner, and with KD in full precision by a loop of
bare PyTorch, and by mdistiller and torchdistill if they are installed. Then it does a few steps
without a training loop, at a learning rate of 0, to tell what takes the time. It prints Markdown
tables. Where new boundary samples are made in one of several steps only, each figure is the mean of
so many. Give it a student that knows something, ``--cfg-options load_from=CHECKPOINT``: BSS attacks
only images that the student gets right.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import contextmanager, nullcontext
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

if __name__ == '__main__':
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

import torch
import torch.nn.functional as F
from mmengine.config import DictAction
from mmengine.runner import Runner
from mmrazor.utils import register_all_modules

from amkd_mm.algorithms.amkd import exact
from amkd_mm.benchmarking import iterations
from amkd_mm.cli.downloads import explain_failed_downloads
from amkd_mm.config.reading import read_config
from amkd_mm.hooks import BoundarySampleHook
from amkd_mm.samplers import ReusingSampler, Samples

MEBIBYTE = 2**20
AMKD, PASSES, KD, STUDENT = 'AMKD', 'passes of AMKD alone', 'KD', 'student alone'


def now():
    """Seconds, once the GPU has done its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Passes(NamedTuple):
    """What a step asks of the networks.

    Attributes:
        search (list): Inputs of each call of the teacher by the search, whether its graph is kept,
            and whether a gradient is taken.
        teacher (list): Inputs and data samples of each other pass of the teacher.
        student (list): The same of the student, the clean batch first.
        samples (Samples): What the search found.
    """

    search: list
    teacher: list
    student: list
    samples: Samples


class Bench:
    """A run of a config, without its training loop: one step at a time.

    Args:
        cfg (Config): Of a distillation with a ``BoundarySampleHook``.
    """

    def __init__(self, cfg):
        self.runner = Runner.from_cfg(cfg)
        hooks = [hook for hook in self.runner.hooks if isinstance(hook, BoundarySampleHook)]
        if not hooks:
            raise SystemExit('benchmark_step: CONFIG has no BoundarySampleHook')
        (self.hook,) = hooks
        self.model = self.runner.model
        self.optim = self.runner.optim_wrapper = self.runner.build_optim_wrapper(
            self.runner.optim_wrapper
        )
        self.dataloader = self.runner.train_loop.dataloader
        self.model.init_weights()
        self.runner.load_or_resume()
        self.model.train()
        # So that all steps meet the same networks.
        for group in self.optim.param_groups:
            group['lr'] = 0
        self.hook.before_train(self.runner)
        self.cycle = iterations.begin_at_once(self.runner)

    @contextmanager
    def repeatable(self):
        """Within it a step searches if the next one outside will, and adds nothing to a memory."""
        sampler = self.hook.sampler
        if not isinstance(sampler, ReusingSampler):
            yield
            return
        state = sampler.state_dict()
        yield
        sampler.load_state_dict(state)

    def load(self, number):
        """Load batches, at once, so that workers of the dataloader do not disturb the steps.

        Returns:
            list[tuple]: Each batch and the seconds that it took.
        """
        loaded = []
        while len(loaded) < number:
            started = now()
            for batch in self.dataloader:
                loaded.append((batch, now() - started))
                if len(loaded) == number:
                    break
                started = now()
        return loaded

    def amkd(self, batch):
        self.hook.before_train_iter(self.runner, 0, batch)
        outputs = self.model.train_step(batch, self.optim)
        self.hook.after_train_iter(self.runner, 0, batch, outputs)

    def kd(self, batch):
        """The same losses but those of boundary samples, of which there are none."""
        self.model.train_step(batch, self.optim)

    def student(self, batch):
        data = self.model.data_preprocessor(batch, True)
        with self.optim.optim_context(self.model):
            losses = self.model.student(**data, mode='loss')
        loss, _ = self.model.parse_losses(losses)
        self.optim.update_params(loss)

    def passes_of(self, batch):
        """List what an AMKD step asks of the networks.

        Returns:
            Passes: Of the search and of the step.
        """
        found = Passes([], [], [], None)
        model, gradient = self.model, torch.autograd.grad

        @contextmanager
        def ready_teacher(*args, ready=model._ready_teacher):
            with ready(*args) as ask:

                def listed(inputs):
                    found.search.append([inputs, inputs.requires_grad, False])
                    return ask(inputs)

                # The step sees to its being up to date.
                listed.update = model.folded_teacher.update
                yield listed

        def noted(*args, **kwargs):
            found.search[-1][-1] = True
            return gradient(*args, **kwargs)

        def listed(passes, run):
            def call(inputs, data_samples):
                passes.append((inputs, data_samples))
                return run(inputs, data_samples)

            return call

        patches = dict(
            _ready_teacher=ready_teacher,
            _run_teacher=listed(found.teacher, model._run_teacher),
            _run_student=listed(found.student, model._run_student),
        )
        self.hook.before_train_iter(self.runner, 0, batch)
        with (
            patch.multiple(model, **patches),
            patch.object(torch.autograd, 'grad', noted),
            self.optim.optim_context(model),
        ):
            model(**model.data_preprocessor(batch, True), mode='loss')
        return found._replace(samples=self.hook.samples)

    def passes_alone(self, passes):
        """The same forward and backward passes of the same networks, as bare calls."""
        teacher = self.model.folded_teacher
        (clean, _), *others = passes.teacher
        with self.optim.optim_context(self.model):
            with torch.no_grad():
                teacher_logits = [teacher(clean)]
            with nullcontext() if self.hook.amp else exact(clean):
                for inputs, differentiable, differentiated in passes.search:
                    inputs = inputs.detach().requires_grad_(differentiable)
                    with torch.set_grad_enabled(differentiable):
                        logits = teacher(inputs)
                        if differentiated:
                            torch.autograd.grad(logits.sum(), inputs)
            with torch.no_grad():
                teacher_logits += [teacher(inputs) for inputs, _ in others]
            if len(teacher_logits) < len(passes.student):
                teacher_logits.append(passes.samples.teacher_logits)
            logits = [self.model.student(inputs, mode='tensor') for inputs, _ in passes.student]
            labels = torch.cat([sample.gt_label for sample in passes.student[0][1]])
            loss = F.cross_entropy(logits[0], labels) + sum(
                F.kl_div(s.log_softmax(1), t.softmax(1), reduction='batchmean')
                for s, t in zip(logits, teacher_logits, strict=True)
            )
        self.optim.update_params(loss)

    def split(self, batch):
        """Do an AMKD step; returns the seconds of each part of it."""
        seconds = defaultdict(float)

        def timed(part, function):
            @wraps(function)
            def call(*args, **kwargs):
                started = now()
                try:
                    return function(*args, **kwargs)
                finally:
                    seconds[part] += now() - started

            return call

        started = now()
        model, optim = self.model, self.optim
        passes = dict(
            _make_samples=timed('boundary search', model._make_samples),
            _run_teacher=timed('teacher', model._run_teacher),
            _run_student=timed('student forward', model._run_student),
        )
        updates = dict(
            backward=timed('backward', optim.backward),
            step=timed('optimiser', optim.step),
            zero_grad=timed('optimiser', optim.zero_grad),
        )
        with patch.multiple(model, **passes), patch.multiple(optim, **updates):
            self.amkd(batch)
        seconds['losses and the rest'] = now() - started - sum(seconds.values())
        return dict(seconds)

    def resident_bytes(self):
        """Bytes of what stays from step to step: weights, their copies and optimiser states."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        tensors += self.model.folded_teacher.parameters()
        tensors += [p.grad for p in self.model.parameters() if p.grad is not None]
        for state in self.optim.optimizer.state.values():
            tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
        storages = {t.data_ptr(): t.numel() * t.element_size() for t in tensors}
        return sum(storages.values())

    def peak_bytes(self, step, *arguments):
        """Most bytes of tensors at any time of a step, with what stays."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            step(*arguments)
            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated()
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
        ) as profile:
            step(*arguments)
        held = most = 0
        for event in profile.profiler.kineto_results.events():
            if event.name() == '[memory]':
                held += event.nbytes()
                most = max(most, held)
        return self.resident_bytes() + most


def measure(bench, steps, warmup):
    """Do every kind of step in turn on each batch.

    Returns:
        tuple: Seconds of each kind of step, seconds of each part of an AMKD step, and numbers of
        boundary samples; lists of means over a cycle.
    """
    kinds, parts, rows = defaultdict(list), defaultdict(list), []
    batches = iter(bench.load((warmup + steps) * bench.cycle))
    for step in range(-warmup, steps):
        seconds, split, found = Counter(), Counter(), []

        def clock(name, function, *arguments, seconds=seconds):
            started = now()
            function(*arguments)
            seconds[name] += now() - started

        for batch, loading in islice(batches, bench.cycle):
            # The same samples once more, to list the passes.
            with bench.repeatable():
                passes = bench.passes_of(batch)
            with bench.repeatable():
                split.update(data=loading, **bench.split(batch))
            clock(AMKD, bench.amkd, batch)
            clock(PASSES, bench.passes_alone, passes)
            clock(KD, bench.kd, batch)
            clock(STUDENT, bench.student, batch)
            found.append(len(passes.samples.rows))
        if step >= 0:
            rows.append(statistics.mean(found))
            for table, sums in ((kinds, seconds), (parts, split)):
                for name, value in sums.items():
                    table[name].append(value / bench.cycle)
    return kinds, parts, rows


def rows_of(table, reference):
    """Markdown rows: median, range, and the median ratio to the reference of the same step."""
    lines = []
    for name, seconds in table.items():
        ratios = [s / r for s, r in zip(seconds, reference, strict=True)]
        median, low, high = (1000 * f(seconds) for f in (statistics.median, min, max))
        ratio = statistics.median(ratios)
        lines.append(f'| {name} | {median:.1f} ({low:.1f} to {high:.1f}) | {ratio:.2f} |')
    return lines


def report(trainings, kinds, parts, peaks, batch_size):
    """All tables as text."""
    totals = [sum(values) for values in zip(*parts.values(), strict=True)]
    speeds = [batch_size / statistics.median(seconds) for seconds in trainings.values()]
    rows = rows_of(trainings, trainings[iterations.KD])
    return '\n'.join(
        [
            '| whole iteration | ms (min to max) | relative to KD | images a second |',
            '| --- | ---: | ---: | ---: |',
            *(f'{row} {speed:.0f} |' for row, speed in zip(rows, speeds, strict=True)),
            '',
            '| step, without loading data | ms (min to max) | relative to the passes |',
            '| --- | ---: | ---: |',
            *rows_of(kinds, kinds[PASSES]),
            '',
            '| part of an AMKD step | ms (min to max) | share |',
            '| --- | ---: | ---: |',
            *rows_of(parts, totals),
            '',
            '| step | peak memory (MiB) | relative to KD |',
            '| --- | ---: | ---: |',
            *(
                f'| {name} | {peak / MEBIBYTE:.0f} | {peak / peaks[KD]:.2f} |'
                for name, peak in peaks.items()
            ),
        ]
    )


def main():
    explain_failed_downloads()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of a distillation with boundary samples')
    parser.add_argument(
        '--steps', type=int, default=20, help='counted steps, or cycles of steps (default: 20)'
    )
    parser.add_argument('--warmup', type=int, default=3, help='steps before (default: 3)')
    parser.add_argument('--amp', action='store_true', help='mixed precision, on a GPU')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all figures there, too')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()

    register_all_modules(False)
    try:
        cfg = read_config('config', args.config, args.cfg_options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.log_level = 'ERROR'
    with tempfile.TemporaryDirectory() as cfg.work_dir:
        trainings = iterations.time_iterations(cfg, args.steps, args.warmup, now)
        bench = Bench(cfg)
        kinds, parts, rows = measure(bench, args.steps, args.warmup)
        ((batch, _),) = bench.load(1)
        peaks = {KD: bench.peak_bytes(bench.kd, batch)}
        # One of a cycle has a search.
        peaks[AMKD] = max(bench.peak_bytes(bench.amkd, batch) for _ in range(bench.cycle))
        peaks[PASSES] = max(
            bench.peak_bytes(bench.passes_alone, bench.passes_of(batch)) for _ in range(bench.cycle)
        )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    print(
        f'{args.steps} steps after {args.warmup}; batches of {bench.dataloader.batch_size} and '
        f'{statistics.mean(rows):.0f} boundary samples (mean); '
        f'{"mixed" if args.amp else "full"} precision, {device}, '
        f'{torch.get_num_threads()} threads, '
        f'torch {torch.__version__}\n'
    )
    print(report(trainings, kinds, parts, peaks, bench.dataloader.batch_size))
    if args.json:
        # Seconds of each counted step, bytes, and the number of boundary samples of each step
        figures = dict(
            iterations=trainings, steps=kinds, parts=parts, peaks=peaks, boundary_samples=rows
        )
        figures['batch_size'] = bench.dataloader.batch_size
        args.json.write_text(json.dumps(figures), encoding='utf-8')


if __name__ == '__main__':
    main()
