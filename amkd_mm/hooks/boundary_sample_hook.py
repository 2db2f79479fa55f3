"""BoundarySampleHook: appends boundary samples of the teacher to the training batch."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import partial

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmrazor.registry import HOOKS
from torch import Tensor, nn

from .. import boundary_rows
from ..attacks import AttackResult, build_attack
from ..classifiers import num_classes, to_logits
from ..fast_teacher import FastTeacher, disable_checkpointing
from ..pixel_space import PixelSpace
from .training_span import Moment, check_moment, require_epochs, resolve


def sample_target(logits: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from the teacher's softmax without the base class, as BSS does."""
    others = logits.float().scatter(1, labels[:, None], -float('inf')).softmax(1).cumsum(1)
    # Drawn on the CPU, so that a run does not depend on the device.
    draws = torch.rand(len(logits), 1, generator=generator).to(others)
    # The first class whose cumulative probability exceeds the draw; the base class adds none.
    return (others <= draws * others[:, -1:]).sum(1)


def runner_up_target(
    logits: Tensor, labels: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """The teacher's best class besides the base class."""
    return logits.scatter(1, labels[:, None], -float('inf')).argmax(1)


def random_target(logits: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Any class besides the base class, all equally likely."""
    steps = torch.randint(1, logits.size(1), (len(logits),), generator=generator)
    return (labels + steps.to(labels)) % logits.size(1)


TARGETS: dict[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]] = dict(
    sample=sample_target, runner_up=runner_up_target, random=random_target
)
BASES = ('random', 'discrepancy')


@HOOKS.register_module()
class BoundarySampleHook(Hook):
    """Appends boundary samples of the teacher to the batch before a training step.

    Base samples are chosen among the images of the batch, moved across the teacher's decision
    boundary, and appended in the dataloader's own format: float images in [0, 255], and copies
    of the data samples (with the base sample's label) marked in their metainfo. ``AMKD`` tells
    them apart; for any other algorithm with a ``teacher`` and a ``student`` they are more
    training data. As soon as the model has preprocessed the batch, this is as it was.

    Teacher and student run in evaluation mode meanwhile. Their modes, gradients and batch norm
    statistics are then as before.

    Each step logs under ``boundary/``: ``samples`` (how many were appended), ``reached`` (share
    of the attacked that reached their target class), ``gap`` (mean ``|p_base - p_target|`` of
    the teacher) and ``l2`` (mean L2 norm of the perturbation, in normalised input units) of
    the appended, and ``seconds``.

    Args:
        attack (dict): Config of a boundary attack in ``mmrazor.registry.TASK_UTILS``, such as
            ``dict(type='BoundarySearch')`` or ``dict(type='BSSAttack')``.
        num_samples (int | float): Most boundary samples per batch and process; a float is a
            share of the batch. Defaults to 0.25, which are BSS's 64 of 256.
        base (str): Which samples are moved. ``'random'``: any, which is cheap, because the
            teacher is only asked about those that are attacked. ``'discrepancy'``: those where
            teacher and student differ most, by the sum over the wrong classes of
            ``(p_t - p_s)^2``, as in BSS. The teacher classifies all of them correctly.
            Defaults to ``'random'``.
        target (str): Which boundary. ``'sample'``: with a class drawn from the teacher's
            softmax without the base class, as in BSS; ``'runner_up'``: with the teacher's
            second class; ``'random'``: with any other class. Defaults to ``'sample'``.
        student_correct (bool): Whether the student must classify base samples correctly too,
            as in BSS. (BSS asks the student in training mode.) Defaults to True.
        keep_unreached (bool): Whether to append samples that did not reach their target class,
            as BSS does. Defaults to False.
        begin (int | float): First epoch with boundary samples; a float is a share of the
            training. Defaults to 0.
        end (int | float): Epoch from which there are none; a float is a share. Defaults to 1.0.
        interval (int): Iterations from one batch with boundary samples to the next. Defaults
            to 1.
        by_epoch (bool): Whether ``begin`` and ``end`` count epochs or iterations. Defaults to
            True.
        amp (bool): Whether the attack uses the mixed precision of the training (``--amp``) too.
            Then boundary samples are no closer to the boundary than half precision can tell.
            Defaults to False.

    Raises:
        KeyError: If there is no such attack.
        ValueError: If an argument is out of its range, the preprocessor mixes images, or a label
            is not below the number of classes.
        TypeError: If the model has no teacher and student, or the batch is not as MMPretrain's
            datasets give it.
    """

    def __init__(
        self,
        attack: dict,
        num_samples: int | float = 0.25,
        base: str = 'random',
        target: str = 'sample',
        student_correct: bool = True,
        keep_unreached: bool = False,
        begin: Moment = 0,
        end: Moment = 1.0,
        interval: int = 1,
        by_epoch: bool = True,
        amp: bool = False,
    ) -> None:
        if num_samples <= 0 or (isinstance(num_samples, float) and num_samples > 1):
            raise ValueError(
                'BoundarySampleHook: num_samples must be an int >= 1, or a float in (0, 1] for a '
                f'share of the batch, not {num_samples}'
            )
        if interval < 1:
            raise ValueError(f'BoundarySampleHook: interval must be >= 1, not {interval}')
        if base not in BASES:
            raise ValueError(f'BoundarySampleHook: base must be one of {BASES}, not {base!r}')
        if target not in TARGETS:
            raise ValueError(
                f'BoundarySampleHook: target must be one of {tuple(TARGETS)}, not {target!r}'
            )
        self.attack = build_attack(attack)
        self.num_samples = num_samples
        self.base = base
        self.target = TARGETS[target]
        self.student_correct = student_correct
        self.keep_unreached = keep_unreached
        self.begin = check_moment('begin', begin)
        self.end = check_moment('end', end)
        self.interval = interval
        self.by_epoch = by_epoch
        self.amp = amp
        self._boundary_batch = None

    def before_train(self, runner) -> None:
        """Find teacher, student and preprocessor; refuse what cannot work."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(model, 'teacher') or not hasattr(model, 'student'):
            raise TypeError(
                'BoundarySampleHook needs an algorithm with a teacher and a student, such as '
                f"model=dict(type='AMKD', ...), but got {type(model).__name__}"
            )
        if getattr(model.data_preprocessor, 'batch_augments', None) is not None:
            raise ValueError(
                'BoundarySampleHook cannot attack mixed images: set '
                '`data_preprocessor.batch_augments=None`, which leaves out Mixup and CutMix, also '
                'those in the `train_cfg` of `model.architecture`'
            )
        if self.by_epoch and (self.begin, self.end) != (0, 1):
            require_epochs(
                runner,
                'BoundarySampleHook: `begin` and `end` count epochs unless `by_epoch=False` is set',
            )
        self.algorithm = model
        self.teacher, self.student = model.teacher, model.student
        self.ask_teacher = partial(ask, self.teacher)
        # MMRazor may train the teacher, or just the statistics of its batch norm.
        trained = getattr(model, 'teacher_trainable', False)
        kept = getattr(model, 'teacher_eval', False) or getattr(model, 'teacher_norm_eval', True)
        if not trained:
            disable_checkpointing(self.teacher)
        if kept and not trained:
            self.ask_teacher = getattr(model, 'fast_teacher', None) or FastTeacher(self.teacher)
        self.ask_student = partial(ask, self.student)
        self.preprocessor = model.data_preprocessor
        self._checked = False
        if hasattr(model, 'expects_boundary_rows'):
            model.expects_boundary_rows = True

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Append boundary samples to ``data_batch``, in place."""
        if not self.is_active(runner):
            self.clear_log(runner)
            return
        if runner.iter % self.interval:
            return
        started = time.perf_counter()
        pixels, labels = self.read(data_batch)
        space = PixelSpace(self.preprocessor)
        if not self._checked:
            space.check(pixels)
            self.check_labels(labels)
            self._checked = True

        # A generator of its own for each step: a resumed run draws what an uninterrupted one
        # draws, whatever else uses random numbers.
        seed = hash((runner.seed, runner.iter, get_rank())) % 2**63
        generator = torch.Generator().manual_seed(seed)
        precision = nullcontext()
        if self.amp:
            precision = runner.optim_wrapper.optim_context(self.algorithm)
        with evaluation_mode(self.teacher, self.student), precision:
            inputs = space.normalize(pixels)
            if isinstance(self.ask_teacher, FastTeacher):
                self.ask_teacher.update(space.pad(inputs))
            rows, result = self.find(space, inputs, labels, generator)

        kept = (result.targets >= 0) & (result.reached | self.keep_unreached)
        moved = space.to_pixels(result.inputs[kept])
        self.append(data_batch, moved, rows[kept].tolist(), result.targets[kept].tolist())

        self.log(runner, inputs[rows], labels[rows], result, kept)
        runner.message_hub.update_scalar('train/boundary/seconds', time.perf_counter() - started)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Take the boundary samples out again, if nothing has preprocessed the batch."""
        self.restore()

    def restore(self) -> None:
        """Make the batch what it was."""
        if self._boundary_batch is not None:
            batch, clean, handle = self._boundary_batch
            batch.update(clean)
            handle.remove()
            self._boundary_batch = None

    def clear_log(self, runner) -> None:
        """Remove what only steps with boundary samples log: a log repeats the last value."""
        names = [f'boundary/{name}' for name in ('reached', 'gap', 'l2', 'seconds')]
        names += [f'distill.{name}' for name in getattr(self.algorithm, 'boundary_losses', [])]
        for name in names:
            runner.message_hub.log_scalars.pop(f'train/{name}', None)
        runner.message_hub.update_scalar('train/boundary/samples', 0)

    def is_active(self, runner) -> bool:
        """Whether this iteration is between ``begin`` and ``end`` of a distillation."""
        # MMRazor's StopDistillHook sets it.
        if getattr(self.algorithm, 'distillation_stopped', False):
            return False
        if self.by_epoch:
            now, total = runner.epoch, runner.max_epochs
        else:
            now, total = runner.iter, runner.max_iters
        return resolve(self.begin, total) <= now < resolve(self.end, total)

    def read(self, data_batch: dict) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W), as they are, and labels (N,) of a batch, on the model's device."""
        if not isinstance(data_batch, dict) or not {'inputs', 'data_samples'} <= set(data_batch):
            raise TypeError(
                'BoundarySampleHook needs batches with `inputs` and `data_samples`: end the '
                "`train_pipeline` with dict(type='PackInputs')"
            )
        images = data_batch['inputs']
        if not isinstance(images, Tensor):
            shapes = {tuple(image.shape) for image in images}
            if len(shapes) > 1:
                raise TypeError(
                    'BoundarySampleHook needs images of one size in a batch, but got '
                    f'{sorted(shapes)}: resize or crop them in the `train_pipeline`'
                )
            images = torch.stack(list(images))
        labels = [sample.get('gt_label') for sample in data_batch['data_samples']]
        if any(label is None or label.numel() != 1 for label in labels):
            raise TypeError('BoundarySampleHook needs single-label samples, one `gt_label` each')
        device = self.preprocessor.device
        return images.to(device), torch.cat([label.reshape(1) for label in labels]).to(device)

    def check_labels(self, labels: Tensor) -> None:
        """Raise ``ValueError`` for labels that the teacher has no class for."""
        classes = num_classes(self.teacher)
        if classes is not None and len(labels) and int(labels.max()) >= classes:
            raise ValueError(
                f'BoundarySampleHook: an image has the label {int(labels.max())}, but the models '
                f'have {classes} classes: set `num_classes` of both to that of the data'
            )

    def find(
        self, space: PixelSpace, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, AttackResult]:
        """Choose base samples and attack them.

        Args:
            space (PixelSpace): Gives padding and bounds.
            inputs (Tensor): The batch's normalised inputs, (N, C, H, W).
            labels (Tensor): Labels, (N,).
            generator (torch.Generator): Source of all choices.

        Returns:
            tuple: Indices of the attacked rows, (M,), and the attack's result on them. Its
            ``targets`` are negative where the teacher misclassifies the row.
        """

        rows = self.choose_bases(space, inputs, labels, generator)

        def choose_targets(logits: Tensor) -> Tensor:
            targets = self.target(logits, labels[rows], generator)
            return targets.masked_fill(logits.argmax(1) != labels[rows], -1)

        def ask_teacher(images: Tensor) -> Tensor:
            return self.ask_teacher(space.pad(images))

        result = self.attack(ask_teacher, inputs[rows], labels[rows], choose_targets, space.bounds)
        return rows, result

    @torch.no_grad()
    def choose_bases(
        self, space: PixelSpace, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Indices of the rows to attack, (M,); arguments are those of :meth:`find`."""
        most = max(1, round(resolve(self.num_samples, len(labels))))
        padded = space.pad(inputs)
        if self.base == 'discrepancy':
            teacher_logits, student_logits = self.ask_teacher(padded), self.ask_student(padded)
            suitable = teacher_logits.argmax(1) == labels
            if self.student_correct:
                suitable &= student_logits.argmax(1) == labels
            scores = discrepancy(teacher_logits, student_logits, labels)
            order = scores.argsort(descending=True)
            return order[suitable[order]][:most]

        order = torch.randperm(len(labels), generator=generator).to(labels.device)
        if not self.student_correct:
            return order[:most]
        found = order[:0]
        # A student that gets half of the images right is asked about no more than it takes.
        for piece in order.split(2 * most):
            correct = self.ask_student(padded[piece]).argmax(1) == labels[piece]
            found = torch.cat([found, piece[correct]])
            if len(found) >= most:
                break
        return found[:most]

    def append(self, data_batch: dict, pixels: Tensor, rows: list[int], targets: list[int]) -> None:
        """Append images and marked copies of the rows' data samples to the batch."""
        self.restore()  # A step before may have failed.
        images, samples = data_batch['inputs'], data_batch['data_samples']
        if isinstance(images, Tensor):
            appended = torch.cat([images.to(pixels), pixels])
        else:
            appended = [*images, *pixels]
        copies = [
            boundary_rows.mark(deepcopy(samples[row]), target)
            for row, target in zip(rows, targets, strict=True)
        ]
        data_batch.update(inputs=appended, data_samples=[*samples, *copies])

        def release(preprocessor: nn.Module, args: tuple, output: dict) -> None:
            # Once the model has preprocessed them, the pixels would only take memory.
            if args and args[0] is data_batch:
                self.restore()

        handle = self.preprocessor.register_forward_hook(release)
        self._boundary_batch = data_batch, dict(inputs=images, data_samples=samples), handle

    @staticmethod
    def log(runner, starts: Tensor, labels: Tensor, result: AttackResult, kept: Tensor) -> None:
        """Write the step's statistics to the message hub; those of no sample are left out."""
        attacked = result.targets >= 0
        scalars: dict[str, int | float] = dict(samples=int(kept.sum()))
        if attacked.any():
            scalars['reached'] = result.reached[attacked].float().mean().item()
        if kept.any():
            probabilities = result.logits[kept].float().softmax(1)
            base = probabilities.gather(1, labels[kept, None])
            target = probabilities.gather(1, result.targets[kept, None])
            perturbation = (result.inputs - starts)[kept].flatten(1)
            scalars['gap'] = (base - target).abs().mean().item()
            scalars['l2'] = perturbation.norm(dim=1).mean().item()
        for name, value in scalars.items():
            runner.message_hub.update_scalar(f'train/boundary/{name}', value)


def ask(model: nn.Module, inputs: Tensor) -> Tensor:
    """A classifier's logits, (N, K)."""
    return to_logits(model(inputs, mode='tensor'))


def discrepancy(teacher_logits: Tensor, student_logits: Tensor, labels: Tensor) -> Tensor:
    """How much two networks differ on the wrong classes: BSS's base sample score.

    Args:
        teacher_logits (Tensor): (N, K).
        student_logits (Tensor): (N, K).
        labels (Tensor): (N,), int64.

    Returns:
        Tensor: Sum over all classes but the label of the squared difference of the
        probabilities, (N,).
    """
    differences = (teacher_logits.softmax(1) - student_logits.softmax(1)).square()
    return differences.scatter(1, labels[:, None], 0).sum(1)


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
