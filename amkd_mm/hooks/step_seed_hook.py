"""StepSeedHook: random numbers that depend on the seed and the step, not on what ran before."""

import logging
import random
from abc import ABC, abstractmethod
from functools import wraps

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import IterBasedTrainLoop
from mmrazor.registry import HOOKS
from torch.utils.data import DataLoader
from torch.utils.data._utils import fetch

# What random numbers are drawn for; each has streams of its own.
DATA, MODEL, WORKER = range(3)


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seeds Python, numpy and torch anew for the data of each epoch and for each step (ours).

    So a resumed training draws what it would have drawn without the interruption: the same
    augmentation, with and without workers of the dataloader, persistent or not, and the same
    Dropout, DropPath and Mixup. No random state needs to be saved. Each epoch has an augmentation
    of its own, where MMEngine 0.10.7 repeats that of the first in workers that are not persistent.

    The seeds are made of ``randomness.seed``, or of what the checkpoint of the resumed training
    says, and of the number of epoch or iteration; those of the data also of the rank of the
    process. In a training by iterations OpenMMLab's MMEngine makes the batches again that a resumed
    training has had, so that the augmentation of workers is left to it; OneDL's passes over them,
    so that workers seed each batch by the indices of its images.
    """

    # Before hooks that may draw random numbers.
    priority = 'VERY_HIGH'

    def before_run(self, runner) -> None:
        """Note the seed before a checkpoint may replace it."""
        self._first_seed = runner.seed

    def before_train(self, runner) -> None:
        """Seed the dataloader by this hook."""
        loop = runner.train_loop
        loader = loop.dataloader
        if not isinstance(loader, DataLoader):
            self._workers = None
            return
        if isinstance(loop, IterBasedTrainLoop):
            self._workers = None
            if runner.seed != getattr(self, '_first_seed', runner.seed):
                print_log(
                    'The data comes in another order than before the interruption: a training by '
                    'iterations needs `randomness=dict(seed=...)` to resume where it was',
                    logger='current',
                    level=logging.WARNING,
                )
            if loader.num_workers == 0:
                loop.dataloader_iterator = SeededFetches(loop.dataloader_iterator, runner.seed)
            elif hasattr(loop.dataloader_iterator, 'skip_iter'):
                # OneDL's, whose workers have not begun yet.
                loader.worker_init_fn = SeedsOfBatches(loader.worker_init_fn, runner.seed)
            return
        # MMEngine builds the sampler before it reads the seed in the checkpoint.
        if getattr(loader.sampler, 'seed', None) == getattr(self, '_first_seed', None):
            loader.sampler.seed = runner.seed
        self._workers = None
        if loader.num_workers:
            self._workers = loader.worker_init_fn = WorkerSeeds(loader.worker_init_fn)

    def before_train_epoch(self, runner) -> None:
        """Seed what the data of the epoch is made with."""
        seed_everything(DATA, runner.seed, runner.iter, get_rank())
        if self._workers is not None:
            self._workers.seed.fill_(number_of(WORKER, runner.seed, runner.epoch, get_rank()))

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed the step, as all processes do."""
        seed_everything(MODEL, runner.seed, runner.iter)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Seed the next batch, which the processes make of different images."""
        seed_everything(DATA, runner.seed, runner.iter + 1, get_rank())


class WorkerInit(ABC):
    """A ``worker_init_fn`` by which a worker seeds what it makes batches with.

    Args:
        upstream (callable, optional): The ``worker_init_fn`` to call first.
    """

    fetchers = (fetch._MapDatasetFetcher, fetch._IterableDatasetFetcher)

    def __init__(self, upstream) -> None:
        self.upstream = upstream

    def __call__(self, worker_id: int) -> None:
        """Prepare this worker process."""
        if self.upstream is not None:
            self.upstream(worker_id)
        self.worker_id = worker_id
        for fetcher in self.fetchers:
            fetcher.fetch = preceded_by(self.before_batch, fetcher.fetch)

    @abstractmethod
    def before_batch(self, fetcher, indices) -> None:
        """Seed, in the worker, for a batch of images with these indices, one index or a list."""


class WorkerSeeds(WorkerInit):
    """Lets workers follow a seed, also while they persist.

    A persistent worker hears of a new epoch only by the indices it gets. So the seed is in memory
    that the workers share, where each looks before it makes a batch.
    """

    followed = None

    def __init__(self, upstream) -> None:
        super().__init__(upstream)
        self.seed = torch.zeros((), dtype=torch.int64).share_memory_()

    def before_batch(self, fetcher, indices) -> None:
        """Seed if there is another seed to follow."""
        seed = int(self.seed)
        if seed != self.followed:
            self.followed = seed
            seed_everything(WORKER, seed, self.worker_id)


class SeedsOfBatches(WorkerInit):
    """Lets workers seed each batch by the indices of its images.

    A worker knows no other number of a batch. If the order of the images changes from epoch to
    epoch, so does what is drawn for them.

    Args:
        upstream (callable, optional): The ``worker_init_fn`` to call first.
        seed (int): Of the training.
    """

    # Other data sets have no indices.
    fetchers = (fetch._MapDatasetFetcher,)

    def __init__(self, upstream, seed: int) -> None:
        super().__init__(upstream)
        self.where = (WORKER, seed, get_rank())

    def before_batch(self, fetcher, indices) -> None:
        """Seed by the indices."""
        seed_everything(*self.where, *np.atleast_1d(indices))


class SeededFetches:
    """The batches of an iterator, each made with a seed of its own.

    MMEngine replays the batches of a training by iterations when it resumes, but not the steps
    between them, which draw random numbers, too.
    """

    def __init__(self, batches, seed: int) -> None:
        self.batches = batches
        self.seed = seed
        self.count = 0

    def __iter__(self):
        return self

    def __next__(self):
        seed_everything(DATA, self.seed, self.count, get_rank())
        self.count += 1
        return next(self.batches)

    def skip_iter(self, number: int) -> None:
        """Pass over batches, as OneDL's MMEngine does to resume."""
        self.count += number
        self.batches.skip_iter(number)


def preceded_by(first, function):
    """A function that calls ``first``, with the same arguments, before another one."""

    @wraps(function)
    def call(*args, **kwargs):
        first(*args, **kwargs)
        return function(*args, **kwargs)

    return call


def number_of(*where: int) -> int:
    """A number in [0, 2^32) that depends on all of the numbers given, each >= 0."""
    return int(np.random.SeedSequence(where).generate_state(1)[0])


def seed_everything(*where: int) -> None:
    """Seed Python, numpy and torch by numbers >= 0."""
    seed = number_of(*where)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
