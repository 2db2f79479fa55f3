"""Times of whole iterations: AMKD, KD by the same Runner, and KD by other training loops."""

import time
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy

from mmengine.config import Config
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner

from ..data_preprocessors.normalizer import Normalizer
from ..hooks.sample_hook import SampleHook
from .other_toolboxes import KDTask, Logits, PlainImages, available
from .stepping import iterations, stepped

AMKD, KD = 'AMKD, Runner', 'KD, Runner'


def time_turns(
    trainings: dict[str, Iterator[None]],
    rounds: int,
    warmup: int,
    number: int,
    now: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Let trainings take turns, and time them.

    Args:
        trainings (dict[str, Iterator]): By name; each does an iteration for an item.
        rounds (int): How many rounds are timed.
        warmup (int): How many are made before.
        number (int): How many iterations each training makes in a round.
        now (Callable): The clock, in seconds.

    Returns:
        dict[str, list[float]]: Of each training the mean seconds of an iteration in each round.
    """
    found: dict[str, list[float]] = {name: [] for name in trainings}
    for turn in range(-warmup, rounds):
        for name, training in trainings.items():
            started = now()
            for _ in range(number):
                next(training)
            if turn >= 0:
                found[name].append((now() - started) / number)
    return found


def time_iterations(
    cfg: Config, rounds: int, warmup: int, now: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Time a distillation with boundary samples, and KD without, by the Runner and other loops.

    Images are loaded in the process itself, so that no worker of one disturbs another. Where new
    samples are made in one of several iterations only, each training makes so many in a round.

    Args:
        cfg (Config): Of a distillation with a ``BoundarySampleHook``, with a ``work_dir``.
        rounds, warmup, now: See :func:`time_turns`.

    Returns:
        dict[str, list[float]]: See :func:`time_turns`.
    """
    amkd, kd = (Runner.from_cfg(stepped(cfg, name)) for name in ('amkd', 'kd'))
    kd._hooks = [hook for hook in kd.hooks if not isinstance(hook, SampleHook)]
    number = begin_at_once(amkd)
    with warnings.catch_warnings():
        # Of KD, which has the losses of boundary samples, too, and leaves them out.
        warnings.filterwarnings('ignore', message='.*read boundary samples')
        trainings = {AMKD: iterations(amkd), KD: iterations(kd)}
        for name, loop in available().items():
            trainings[f'KD, {name}'] = loop(kd_task(kd))
        return time_turns(trainings, rounds, warmup, number, now)


def begin_at_once(runner: Runner) -> int:
    """Let hooks make samples whatever the epoch; returns in how many iterations they do so once."""
    cycles = [1]
    for hook in runner.hooks:
        if isinstance(hook, SampleHook):
            hook.begin, hook.end = 0, 1.0
            cycles.append(cycle_of(hook))
    return max(cycles)


def cycle_of(hook: SampleHook) -> int:
    """In how many iterations a hook makes new samples once."""
    return hook.interval * getattr(hook.sampler, 'reuse', 1)


def kd_task(runner: Runner) -> KDTask:
    """The networks, images and optimiser of a Runner that is about to train, copied."""
    model = runner.model
    dataloader = runner.train_dataloader
    settings = dict(runner.cfg.optim_wrapper.optimizer)

    def optimizer(parameters):
        return OPTIMIZERS.build(dict(settings, params=parameters))

    normalizer = Normalizer(deepcopy(model.data_preprocessor).cpu())
    return KDTask(
        Logits(deepcopy(model.student)),
        Logits(deepcopy(model.teacher)).requires_grad_(False),
        PlainImages(dataloader.dataset, normalizer),
        dataloader.batch_size,
        optimizer,
    )
