"""The trial step of a check: what it costs, and what its losses and gradients are like."""

import time
from collections.abc import Sequence
from resource import RUSAGE_SELF, getrusage

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from torch import Tensor, nn

from ..classifiers.modes import evaluation_mode
from ..config.hook_settings import hook_settings
from ..hooks import BoundarySampleHook
from ..hooks.sample_hook import SampleHook
from ..teachers.folded_teacher import logits_and_gradient
from .report import Report
from .trial_step import TrialStep, try_step


def sample_hooks(cfg: Config) -> list[dict]:
    """The config's hooks that have samples made, for a single step."""
    found = []
    for kind, arguments in hook_settings(cfg, SampleHook):
        found.append(dict(arguments, type=kind, begin=0, end=1.0, interval=1))
        if issubclass(kind, BoundarySampleHook):
            # A student that is not trained is seldom right, and then nothing would be tried.
            found[-1]['student_correct'] = False
    return found


def report_step(
    report: Report,
    algorithm: nn.Module,
    items: Sequence[dict],
    cfg: Config,
    hooks: Sequence[dict] = (),
    optim_wrapper: dict | None = None,
) -> TrialStep:
    """Do a step, with rows on its cost; gives what it did."""
    ears = Hook()
    ears.before_train = lambda runner: runner.logger.addHandler(report)
    started, resident = time.perf_counter(), getrusage(RUSAGE_SELF).ru_maxrss
    step = try_step(algorithm, items, [*hooks, ears], optim_wrapper)
    report.row('seconds', f'{time.perf_counter() - started:.2f} (first step, {get_device()})')
    if torch.cuda.is_available():
        peak, what = torch.cuda.max_memory_allocated(), 'peak of tensors on the GPU'
    else:
        peak = (getrusage(RUSAGE_SELF).ru_maxrss - resident) * 1024
        what = 'growth of the resident memory, CPU'
    report.row('memory', f'{peak / 2**20:.0f} MiB ({what})')
    check_step(report, step, algorithm, cfg)
    return step


def check_step(report: Report, step: TrialStep, algorithm: nn.Module, cfg: Config) -> None:
    """Look at the losses and gradients of a step."""
    broken = [name for name, value in step.losses.items() if not np.isfinite(value)]
    if broken:
        text = ' or '.join(name for name in broken if name != 'loss')
        text = text.replace('distill.', 'model.distiller.distill_losses.')
        write = f'other settings of {text.replace("student.", "model.architecture.head.")}'
        report.problem(f'the losses are not finite: {", ".join(broken)}', write)
    unused, wrapper = step.without_gradient, cfg.get('model_wrapper_cfg')
    if unused and not (wrapper or cfg).get('find_unused_parameters'):
        text = f'{len(unused)} parameters of the student get no gradient, {", ".join(unused[:3])}: '
        text += 'on several GPUs the training stops unless it looks for them'
        write = f'{"model_wrapper_cfg." if wrapper else ""}find_unused_parameters=True'
        report.note(text, write)
    if step.teacher_gradients and not getattr(algorithm, 'teacher_trainable', False):
        text = f'the frozen teacher gets a gradient, {", ".join(step.teacher_gradients[:3])}'
        report.problem(text, "model.type='AMKD', or a loss that does not reach them")


def report_boundary(
    report: Report, step: TrialStep, algorithm: nn.Module, images: Tensor, right: int
) -> None:
    """How many boundary samples the hook logged, and why there are none.

    Args:
        report (Report): Gets a row.
        step (TrialStep): What was logged.
        algorithm (nn.Module): With the teacher.
        images (Tensor): Preprocessed, (N, C, H, W).
        right (int): How many of them the teacher gets right.
    """
    found = step.boundary
    if not found:
        text = 'none asked for: the config has no BoundarySampleHook'
    elif 'attacked' not in found:
        text = 'none made: no loss reads them by `record_idx`'
    elif found['samples']:
        text = f'{found["samples"]:.0f} of {found["attacked"]:.0f} attacked; '
        text += f'gap {found["probability_gap"]:.3g}, L2 {found["l2"]:.3g}'
    else:
        text = f'none of {found["attacked"]:.0f} attacked'
        with evaluation_mode(algorithm.teacher):
            _, gradient = logits_and_gradient(algorithm.teacher, images)
        why = f'no boundary samples: the teacher is right on {right} of {len(images)} images, and '
        why += f'{text} reached another class; the largest input gradient of the teacher is '
        why += f'{gradient.abs().max():.1e}'
        report.note(why, 'a trained teacher, or another `attack` of BoundarySampleHook')
    report.row('boundary samples', text)


def report_losses(report: Report, step: TrialStep) -> None:
    """A row for each loss."""
    for name, value in step.losses.items():
        report.row(name, f'{value:.4g}')
