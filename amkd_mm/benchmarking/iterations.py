"""Times of whole iterations: AMKD, KD by the same Runner, and KD by other training loops."""

import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from copy import deepcopy

from mmengine.config import Config
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner

from ..data_preprocessors.normalizer import Normalizer
from ..hooks.sample_hook import SampleHook
from .other_toolboxes import KDTask, Logits, PlainImages, available
from .stepping import iterations, stepped

AMKD, KD = 'AMKD, Runner', 'KD, Runner'


def time_iterations(
    cfg: Config, rounds: int, warmup: int, now: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Let trainings take turns, and time them.

    Images are loaded in the process itself, so that no worker of one disturbs another. Where new
    samples are made in one of several iterations only, each training makes so many in a round.

    Args:
        cfg (Config): Of a distillation with a ``BoundarySampleHook``, with a ``work_dir``.
        rounds (int): How many rounds are timed.
        warmup (int): How many are made before.
        now (Callable): The clock, in seconds.

    Returns:
        dict[str, list[float]]: Of each training the mean seconds of an iteration in each round.
    """
    cfg = deepcopy(cfg)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    amkd, kd = (Runner.from_cfg(stepped(cfg, name)) for name in ('amkd', 'kd'))
    kd._hooks = [hook for hook in kd.hooks if not isinstance(hook, SampleHook)]
    number = 1
    for hook in amkd.hooks:
        if isinstance(hook, SampleHook):
            # Whatever the epochs that the config makes samples in.
            hook.begin, hook.end = 0, 1.0
            number = max(number, cycle_of(hook))
    found: dict[str, list[float]] = defaultdict(list)
    with warnings.catch_warnings():
        # Of KD, which has the losses of boundary samples, too, and leaves them out.
        warnings.filterwarnings('ignore', message='.*read boundary samples')
        trainings = {AMKD: iterations(amkd), KD: iterations(kd)}
        for name, loop in available().items():
            trainings[f'KD, {name}'] = loop(kd_task(kd))
        for turn in range(-warmup, rounds):
            for name, training in trainings.items():
                started = now()
                for _ in range(number):
                    next(training)
                if turn >= 0:
                    found[name].append((now() - started) / number)
    return found


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
