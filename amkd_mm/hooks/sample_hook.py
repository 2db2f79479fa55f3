"""SampleHook: appends samples made from a batch to it before the training step."""

import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from .. import boundary_rows
from ..activation_checkpointing import disable_checkpointing, without_checkpointing
from ..argument_checks import check_bool, check_int, check_number
from ..classifiers import to_logits
from ..fast_teacher import FastTeacher
from ..image_batches import read_batch
from ..pixel_space import PixelSpace
from .log_order import keep_log_order
from .training_span import Moment, check_moment, check_unit, now_and_total, resolve


class Samples(NamedTuple):
    """Samples to append to a batch.

    Attributes:
        pixels (Tensor): Float images in [0, 255] as the dataloader orders them, (M, C, H, W).
        rows (Sequence[int]): The row of the batch that each was made from, M.
        targets (Sequence[int]): The class that each was moved towards, M; -1 for none.
        scalars (dict[str, float]): What to log of this step.
    """

    pixels: Tensor
    rows: Sequence[int]
    targets: Sequence[int]
    scalars: dict[str, float]


class SampleHook(Hook):
    """Appends samples that a subclass makes to the batch before a training step.

    They are appended in the dataloader's own format: float images in [0, 255], and copies of the
    data samples marked in their metainfo. ``AMKD`` tells them apart; for any other algorithm with
    a ``teacher`` and a ``student`` they are more training data. As soon as the model has
    preprocessed the batch, this is as it was.

    Teacher and student run in evaluation mode meanwhile. Their modes, gradients and batch norm
    statistics are then as before.

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
        ValueError: If an argument is out of its range, or the preprocessor mixes images.
        TypeError: If an argument is of another type, the model has no teacher and student, or the
            batch is not as MMPretrain's datasets give it.
    """

    prefix = 'samples'
    """Before the names of what is logged."""

    def __init__(
        self,
        begin: Moment = 0,
        end: Moment = 1.0,
        interval: int = 1,
        by_epoch: bool = True,
        amp: bool = False,
    ) -> None:
        check_int(f'{self.name}: interval', interval, minimum=1)
        check_bool(f'{self.name}: by_epoch', by_epoch)
        check_bool(f'{self.name}: amp', amp)
        self.begin = check_moment('begin', begin)
        self.end = check_moment('end', end)
        if type(begin) is type(end) and begin > end:
            raise ValueError(f'{self.name}: begin={begin} is after end={end}')
        self.interval = interval
        self.by_epoch = by_epoch
        self.amp = amp
        self._appended = None

    @property
    def name(self) -> str:
        """For messages."""
        return type(self).__name__

    @abstractmethod
    def make(
        self,
        space: PixelSpace,
        pixels: Tensor,
        inputs: Tensor,
        labels: Tensor,
        generator: torch.Generator,
    ) -> Samples:
        """Make the samples; teacher and student are in evaluation mode.

        Args:
            space (PixelSpace): The way from pixels to network inputs and back.
            pixels (Tensor): The batch's images in [0, 255], (N, C, H, W).
            inputs (Tensor): The same normalised for the student, (N, C, H, W).
            labels (Tensor): Labels, (N,).
            generator (torch.Generator): Source of all random numbers, on the CPU.
        """

    def before_train(self, runner) -> None:
        """Find teacher, student and preprocessor; refuse what cannot work."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(model, 'teacher') or not hasattr(model, 'student'):
            raise TypeError(
                f'{self.name} needs an algorithm with a teacher and a student, such as '
                f"model=dict(type='AMKD', ...), but got {type(model).__name__}"
            )
        if getattr(model.data_preprocessor, 'batch_augments', None) is not None:
            raise ValueError(
                f'{self.name} cannot use mixed images: set '
                '`data_preprocessor.batch_augments=None`, which leaves out Mixup and CutMix, also '
                'those in the `train_cfg` of `model.architecture`'
            )
        check_unit(self.name, runner, self.by_epoch, begin=self.begin, end=self.end)
        self.algorithm = model
        self.teacher, self.student = model.teacher, model.student
        self.ask_teacher = partial(ask, self.teacher)
        # MMRazor may train the teacher, or just the statistics of its batch norm.
        trained = getattr(model, 'teacher_trainable', False)
        kept = getattr(model, 'teacher_eval', False) or getattr(model, 'teacher_norm_eval', True)
        # Checkpointing does not give input gradients; a training needs it again after each attack.
        self.checkpointed = [self.teacher] if trained else []
        if not trained:
            disable_checkpointing(self.teacher)
        if kept and not trained:
            self.ask_teacher = getattr(model, 'fast_teacher', None) or FastTeacher(self.teacher)
        self.ask_student = partial(ask, self.student)
        self.preprocessor = model.data_preprocessor
        self._checked = False
        others = [hook for hook in runner.hooks if isinstance(hook, SampleHook)]
        self.group = 1 + others.index(self)
        if hasattr(model, 'boundary_groups'):
            model.boundary_groups = len(others)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Append samples to ``data_batch``, in place."""
        if not self.is_active(runner):
            self.log(runner, 0)
            return
        if runner.iter % self.interval:
            return
        started = time.perf_counter()
        pixels, labels = self.read(data_batch)
        space = PixelSpace(self.preprocessor)
        if not self._checked:
            space.check(pixels)
            self._checked = True

        # A generator of its own for each step and hook: a resumed run draws what an uninterrupted
        # one draws, whatever else uses random numbers.
        where = (runner.seed, runner.iter, get_rank())
        seed = hash(where if self.group == 1 else (*where, self.group)) % 2**63
        generator = torch.Generator().manual_seed(seed)
        precision = nullcontext()
        if self.amp:
            precision = runner.optim_wrapper.optim_context(self.algorithm)
        with (
            without_checkpointing(*self.checkpointed),
            evaluation_mode(self.teacher, self.student),
            precision,
        ):
            inputs = space.normalize(pixels)
            if isinstance(self.ask_teacher, FastTeacher):
                self.ask_teacher.update(space.pad(inputs))
            made = self.make(space, pixels, inputs, labels, generator)
        self.append(data_batch, made)

        seconds = time.perf_counter() - started
        share = len(made.rows) / len(labels)
        self.log(runner, len(made.rows), share=share, **made.scalars, seconds=seconds)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Take the samples out again, if nothing has preprocessed the batch."""
        self.restore()
        # The losses of this step are in it by now, and the logger comes after this hook.
        keep_log_order(runner.message_hub)

    def restore(self) -> None:
        """Make the batch what it was."""
        if self._appended is not None:
            batch, clean, handle = self._appended
            batch.update(clean)
            handle.remove()
            self._appended = None

    def log(self, runner, samples: int, share: float = 0.0, **scalars: float) -> None:
        """Log a step, and remove what it has no value of: a log repeats the last value."""
        found = {
            f'train/{self.prefix}/{name}': value
            for name, value in dict(samples=samples, share=share, **scalars).items()
        }
        logged = runner.message_hub.log_scalars
        over = [name for name in logged if name.startswith(f'train/{self.prefix}/')]
        if not samples and hasattr(self.algorithm, 'losses_of_group'):
            over += [f'train/distill.{loss}' for loss in self.algorithm.losses_of_group(self.group)]
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
        now, total = now_and_total(runner, self.by_epoch)
        return resolve(self.begin, total) <= now < resolve(self.end, total)

    def read(self, data_batch: dict) -> tuple[Tensor, Tensor]:
        """Clean images (N, C, H, W), as they are, and labels (N,), on the model's device."""
        images, labels = read_batch(self.name, 'train_pipeline', data_batch)
        device = self.preprocessor.device
        return images.to(device), labels.to(device)

    def append(self, data_batch: dict, made: Samples) -> None:
        """Append the samples, and marked copies of their rows' data samples, to the batch."""
        self.restore()  # A step before may have failed.
        images, samples = data_batch['inputs'], data_batch['data_samples']
        if isinstance(images, Tensor):
            appended = torch.cat([images.to(made.pixels), made.pixels])
        else:
            appended = [*images, *made.pixels]
        copies = [
            boundary_rows.mark(deepcopy(samples[row]), target, self.group, row)
            for row, target in zip(made.rows, made.targets, strict=True)
        ]
        data_batch.update(inputs=appended, data_samples=[*samples, *copies])
        if any(map(boundary_rows.is_boundary, samples)):
            return  # The hook that appended the first rows restores the batch.

        def release(preprocessor: nn.Module, args: tuple, output: dict) -> None:
            # Once the model has preprocessed them, the pixels would only take memory.
            if args and args[0] is data_batch:
                self.restore()

        handle = self.preprocessor.register_forward_hook(release)
        self._appended = data_batch, dict(inputs=images, data_samples=samples), handle


def check_num_samples(name: str, number: int | float) -> None:
    """Raise an error unless it is a number of samples, or a share of the batch."""
    check_number(f'{name}: num_samples', number)
    if number <= 0 or (isinstance(number, float) and number > 1):
        raise ValueError(
            f'{name}: num_samples must be an int >= 1, or a float in (0, 1] for a share of the '
            f'batch, not {number}'
        )


def ask(model: nn.Module, inputs: Tensor) -> Tensor:
    """A classifier's logits, (N, K)."""
    return to_logits(model(inputs, mode='tensor'))


@contextmanager
def evaluation_mode(*models: nn.Module) -> Iterator[None]:
    """Put models in evaluation mode, and each of their modules back in its own mode after."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    for model in models:
        model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
