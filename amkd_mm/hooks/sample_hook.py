"""SampleHook: says when a sampler makes samples, and logs what it made."""

import math

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from ..classifiers import members_of
from ..config.argument_checks import check_bool, check_int, check_number
from ..config.int_or_fraction import IntOrFraction, check_int_or_fraction, to_absolute
from ..data_preprocessors.normalizer import Normalizer
from ..datasets.batches import image_size, read_batch
from ..samplers import Sampler, SampleRequest, Samples
from .log_order import keep_log_order
from .training_progress import check_unit, progress_and_total


class SampleHook(Hook):
    """Lets ``AMKD`` distil on samples beside the clean batch, and logs them.

    A subclass builds the sampler. Before the training ``AMKD`` gets the samplers of all such hooks;
    before each step the hook says whether its own is to make samples, and from which seed.

    Args:
        begin (int | float): First epoch with samples; a float is a share of the training. Defaults
            to 0.
        end (int | float): Epoch from which there are none; a float is a share. Defaults to 1.0.
        interval (int): Iterations from one batch with samples to the next. In between, the log
            repeats what there was to say of the last one. Defaults to 1.
        by_epoch (bool): Whether ``begin`` and ``end`` count epochs or iterations, if they are
            ints. Shares are those of a training by epochs or by iterations. Defaults to True.
        amp (bool): Whether the samples are made in the mixed precision of the training
            (``--amp``), too. Defaults to False.

    Raises:
        ValueError: If an argument is out of its range, the preprocessor mixes images, or there is
            no such teacher.
        TypeError: If an argument is of another type, the algorithm is not ``AMKD``, or the batch is
            not as MMPretrain's datasets give it.
    """

    prefix = 'samples'
    """Before the names of what is logged."""
    sampler: Sampler
    """What makes the samples, built by the subclass."""
    teacher: str | None = None
    """Of an ensemble of teachers, the member that the sampler asks; None for their mean."""

    def __init__(
        self,
        begin: IntOrFraction = 0,
        end: IntOrFraction = 1.0,
        interval: int = 1,
        by_epoch: bool = True,
        amp: bool = False,
    ) -> None:
        check_int(f'{self.name}: interval', interval, minimum=1)
        check_bool(f'{self.name}: by_epoch', by_epoch)
        check_bool(f'{self.name}: amp', amp)
        self.begin = check_int_or_fraction('begin', begin)
        self.end = check_int_or_fraction('end', end)
        if type(begin) is type(end) and begin > end:
            raise ValueError(f'{self.name}: begin={begin} is after end={end}')
        self.interval = interval
        self.by_epoch = by_epoch
        self.amp = amp
        self.request: SampleRequest | None = None
        """For samples in this step, if it is to have any."""

    @property
    def name(self) -> str:
        """For messages."""
        return type(self).__name__

    @property
    def samples(self) -> Samples | None:
        """What the sampler made in this step."""
        return None if self.request is None else self.request.samples

    def place(self, runner) -> int:
        """Which of the hooks that make samples this one is, from 1: its ``record_idx``."""
        return 1 + sample_hooks(runner).index(self)

    def before_train(self, runner) -> None:
        """Hand the samplers to the algorithm; refuse what cannot work."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(model, 'request_samples'):
            raise TypeError(
                f"{self.name} needs model=dict(type='AMKD', ...), which runs every config of "
                f'`SingleTeacherDistill`, but got {type(model).__name__}'
            )
        if getattr(model.data_preprocessor, 'batch_augments', None) is not None:
            raise ValueError(
                f'{self.name} cannot use mixed images: set '
                '`data_preprocessor.batch_augments=None`, which leaves out Mixup and CutMix, also '
                'those in the `train_cfg` of `model.architecture`'
            )
        if self.teacher is not None and self.teacher not in members_of(model.teacher):
            members = [name for name in members_of(model.teacher) if name]
            raise ValueError(
                f'{self.name}: teacher={self.teacher!r} is not a member of `model.teacher`: '
                + (f'use one of {members}' if members else "it needs type='TeacherEnsemble'")
                + ', or leave it out'
            )
        check_unit(self.name, runner, self.by_epoch, begin=self.begin, end=self.end)
        self.algorithm = model
        model.samplers = [hook.sampler for hook in sample_hooks(runner)]
        self._place = self.place(runner)
        self._checked = False

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Ask the algorithm for samples, if this step is to have any."""
        self.request = None
        if not self.is_active(runner) or runner.iter % self.interval:
            return
        if not self._checked:
            pixels, _ = read_batch(self.name, 'train_pipeline', data_batch)
            normalizer = Normalizer(self.algorithm.data_preprocessor)
            normalizer.check(pixels.to(self.algorithm.data_preprocessor.device))
            self._checked = True
        # A seed of its own for each step and hook: a resumed run draws what an uninterrupted one
        # draws, whatever else uses random numbers.
        where = (runner.seed, runner.iter, get_rank())
        seed = hash(where if self._place == 1 else (*where, self._place)) % 2**63
        size = image_size(self.name, 'train_pipeline', data_batch)
        self.request = SampleRequest(seed, size, self.amp, self.teacher)
        self.algorithm.request_samples(self.sampler, self.request)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Log the samples of this step."""
        if self.request is not None or not self.is_active(runner):
            self.log(runner, len(data_batch['inputs']), outputs or {})
        # The losses of this step are in it by now, and the logger comes after this hook.
        keep_log_order(runner.message_hub)

    def log(self, runner, batch_size: int, losses: dict) -> None:
        """Log a step, and remove what it has no value of: a log repeats the last value.

        Args:
            runner (Runner): The Runner.
            batch_size (int): Of the clean batch.
            losses (dict): Those of this step, by name.
        """
        samples = self.samples
        found = dict(samples=0, share=0.0)
        if samples is not None:
            statistics = samples.statistics
            # Of all at once, because each has to wait for the GPU.
            values = [value.float() for value in statistics.values()]
            values = torch.stack(values).tolist() if values else []
            for name, value in zip(statistics, values, strict=True):
                # A number of images is logged as such, 16 and not 16.0000.
                found[name] = value if statistics[name].is_floating_point() else int(value)
            number = len(samples.rows)
            found.update(samples=number, share=number / batch_size, seconds=self.request.seconds)
        found = {
            f'train/{self.prefix}/{name}': value
            for name, value in found.items()
            if not math.isnan(value)
        }
        logged = runner.message_hub.log_scalars
        over = [name for name in logged if name.startswith(f'train/{self.prefix}/')]
        if not found[f'train/{self.prefix}/samples']:
            # What reads the samples has no loss in such a step.
            over += [
                name
                for name in logged
                if name.startswith('train/distill.') and name.removeprefix('train/') not in losses
            ]
        for name in over:
            if name not in found:
                logged.pop(name, None)
        for name, value in found.items():
            runner.message_hub.update_scalar(name, value)

    def is_active(self, runner) -> bool:
        """Whether this iteration is between ``begin`` and ``end`` of a distillation."""
        # MMRazor's StopDistillHook sets it.
        if getattr(self.algorithm, 'distillation_stopped', False):
            return False
        now, total = progress_and_total(runner, self.by_epoch)
        return to_absolute(self.begin, total) <= now < to_absolute(self.end, total)


def sample_hooks(runner) -> list[SampleHook]:
    """The hooks that make samples, in the order of their ``record_idx``."""
    return [hook for hook in runner.hooks if isinstance(hook, SampleHook)]


def check_num_samples(name: str, number: int | float) -> None:
    """Raise an error unless it is a number of samples, or a share of the batch."""
    check_number(f'{name}: num_samples', number)
    if number <= 0 or (isinstance(number, float) and number > 1):
        raise ValueError(
            f'{name}: num_samples must be an int >= 1, or a float in (0, 1] for a share of the '
            f'batch, not {number}'
        )
