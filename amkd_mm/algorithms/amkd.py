"""AMKD: adversarial metric knowledge distillation."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from functools import cached_property, partial

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.logging import print_log
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.structures import BaseDataElement
from mmrazor.models import BaseAlgorithm, SingleTeacherDistill
from mmrazor.models.distillers import OFDDistiller
from mmrazor.models.utils import add_prefix
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..activation_checkpointing import disable_checkpointing, without_checkpointing
from ..argument_checks import check_bool, check_choice, check_kind
from ..classifiers import ask, expected_normalization, to_logits, warn_of_other_normalization
from ..fast_teacher import FastTeacher
from ..image_batches import labels_of
from ..modes import evaluation_mode
from ..pixel_space import PixelSpace
from ..recorded_config import check_normalization
from ..recorders import LogitsRecorder, record_known, record_nothing, recording, sources_of
from ..samplers import CleanBatch, Sampler, SampleRequest, Samples
from .boundary_norm import check_boundary_norm, is_synchronised, normalize_boundary_samples
from .chance_check import ChanceCheck
from .connector_checks import check_connectors
from .distiller_checks import check_arguments, check_cfg_path, check_distiller
from .effect_checks import check_effects, check_records
from .gradient_check import check_gradients
from .pair_checks import check_pair
from .preparation import (
    adapt_inputs,
    adopt_batch_augments,
    build_preprocessor,
    written_preprocessor,
)
from .teacher_checkpoint import check_exists, initial_preprocessor, load_teacher

REDUCTIONS = ('samples', 'batch')


@MODELS.register_module()
class AMKD(SingleTeacherDistill):
    """Distillation on clean samples and on boundary samples of the teacher.

    Published (abstract only; the full text could not be obtained): adversarial samples close to
    the teacher's decision boundary between two classes, a distillation loss on them as in BSS
    (Heo et al., AAAI 2019), and a triplet loss that constrains their distance to samples of
    negative classes. Everything else is our reconstruction:

    ``L = L_task(S(x), y) + a(t) KD(S(x), T(x)) + b(t) KD(S(x^), T(x^)) + c(t) Triplet(x^)``

    In each step both networks see the clean batch first. From that and from their logits the
    sampler of a ``BoundarySampleHook`` makes boundary samples x^, which both networks see next. So
    every recorder holds the record of the clean batch at ``record_idx=0`` and that of the boundary
    samples at ``record_idx=1``. Any registered loss can therefore read either kind through
    ``loss_forward_mappings``, and every config of ``SingleTeacherDistill`` is valid here. The
    task loss of boundary samples is dropped. Without any in a step, the losses that read their
    records are skipped, and only those. Where several hooks make samples, those of the second have
    ``record_idx=2``, and so on, in the order of ``default_hooks`` and then of ``custom_hooks``. The
    teacher does not look at samples again where the distiller records no more than its logits and
    the sampler knows them.

    ``dict(type='Logits')``, ``dict(type='Embedding')`` and ``dict(type='Labels')`` record what
    every classifier of MMPretrain has (:mod:`amkd_mm.recorders`), MMRazor's recorders anything.
    A module that runs n times in a forward call, such as the ReLU of MMPretrain's ResNet blocks,
    makes n records of the clean batch first: its boundary samples begin at ``record_idx=n``.

    Unlike ``SingleTeacherDistill`` it runs a teacher that is not trained wholly in evaluation
    mode (MMRazor leaves Dropout and DropPath alive) and by ``mode='tensor'`` (its own loss is
    not computed, so record labels on the student's side), insists that the teacher's checkpoint
    fits, and names the config key of a mistake when the model is built. Such a teacher runs as a
    :class:`~amkd_mm.fast_teacher.FastTeacher`, unless a recorder looks into the parts that this
    replaces.

    The teacher gets the images as it was trained on them, also in validation: the student's are
    normalised anew by :class:`~amkd_mm.teacher_inputs.TeacherInputs` if the two differ in mean,
    standard deviation or order of channels. What the teacher was trained on is what
    ``teacher.data_preprocessor`` says, otherwise the config in its checkpoint, otherwise
    torchvision or timm where the weights are theirs, otherwise the config that its ``cfg_path``
    names, otherwise the same as the student.

    Args:
        distiller (dict | BaseDistiller): Config of a distiller.
        teacher (dict | BaseModel): Config of the teacher, or the teacher.
        teacher_ckpt (str, optional): Path or URL of the teacher's checkpoint. Defaults to None.
        teacher_ckpt_strict (bool): Whether every key of the checkpoint must match the teacher.
            Defaults to True.
        teacher_eval (bool): Whether to keep the whole teacher in evaluation mode while it is not
            trained. Defaults to True.
        teacher_input_size (int | Sequence[int], optional): Height and width of the images for the
            teacher, to which those of the student are resized (bicubic, differentiable). Defaults
            to None, the size of the student's.
        boundary_norm (str): How batch norm of the student, in training mode, treats boundary
            samples. ``'update'``: by their own statistics, which also update the running ones, as
            in BSS; ``'batch'``: by their own statistics, while the running ones are of clean images
            alone; ``'running'``: by the running statistics. A single sample always has these,
            unless batch norm is synchronised. Defaults to ``'update'``.
        boundary_reduction (str): What the losses of boundary samples, which are means, are means
            over. ``'samples'``: over the samples that there are, as published; ``'batch'``: over
            the rows of the clean batch, so that few samples have little weight. Defaults to
            ``'samples'``.
        teacher_compile (bool | dict): Whether to compile the teacher, while it is not trained,
            by :func:`torch.compile`, or the arguments of that. Defaults to False.
        data_preprocessor (dict | nn.Module, optional): As in MMPretrain, ``type`` may be left
            out, and ``train_cfg.augments`` of the student (Mixup, CutMix) are part of it unless it
            has ``batch_augments`` of its own, which may be None. Defaults to None, the student's.
        **kwargs: See ``SingleTeacherDistill``.

    Raises:
        FileNotFoundError: If ``teacher_ckpt`` does not exist.
        KeyError: If the distiller names an unknown recorder, source, loss or connector.
        TypeError: If an argument is unknown or of another type.
        ValueError: If the checkpoint does not fit, the class counts differ, a head is for several
            labels or tasks or cannot be trained, a recorder waits for the loss of a teacher that is
            not trained, settings beside ``cfg_path`` or a loss without a mapping have no effect,
            ``boundary_norm`` or ``boundary_reduction`` is unknown, or PyTorch cannot compile.
    """

    def __init__(
        self,
        distiller: dict,
        teacher: BaseModel | dict,
        teacher_ckpt: str | None = None,
        *,
        architecture: BaseModel | dict,
        teacher_ckpt_strict: bool = True,
        teacher_eval: bool = True,
        teacher_compile: bool | dict = False,
        boundary_norm: str = 'update',
        boundary_reduction: str = 'samples',
        teacher_input_size: int | Sequence[int] | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        **kwargs,
    ) -> None:
        check_arguments(
            kwargs, SingleTeacherDistill.__init__, BaseAlgorithm.__init__, AMKD.__init__
        )
        check_bool('model.teacher_ckpt_strict', teacher_ckpt_strict)
        check_bool('model.teacher_eval', teacher_eval)
        for name in ('teacher_trainable', 'teacher_norm_eval', 'student_trainable'):
            check_bool(f'model.{name}', kwargs.get(name, True))
        check_bool('model.calculate_student_loss', kwargs.get('calculate_student_loss', True))
        check_kind('model.teacher_compile', teacher_compile, (bool, dict), 'True or dict()')
        check_kind('model.teacher_ckpt', teacher_ckpt, (str, type(None)), "'work_dirs/teacher.pth'")
        for key, model in (('model.architecture', architecture), ('model.teacher', teacher)):
            if isinstance(model, dict):
                check_cfg_path(key, model)
        if teacher_ckpt:
            check_exists(teacher_ckpt)
        trained = kwargs.get('teacher_trainable', False)
        written = written_preprocessor(teacher)
        student_settings, teacher_settings = (
            model if isinstance(model, dict) else {} for model in (architecture, teacher)
        )
        for key, settings in (
            ('data_preprocessor', data_preprocessor),
            ('model.teacher.data_preprocessor', written),
        ):
            if isinstance(settings, dict):
                check_normalization(settings, key)
        student = MODELS.build(architecture) if isinstance(architecture, dict) else architecture
        teacher = MODELS.build(teacher) if isinstance(teacher, dict) else teacher
        check_pair(student, teacher, trained)
        check_boundary_norm(boundary_norm)
        check_choice('model.boundary_reduction', boundary_reduction, REDUCTIONS)
        adaptations = []
        # A frozen teacher needs neither, and not every device has the one, nor an attack the other.
        if not trained and has_sync_batch_norm(teacher):
            teacher = revert_sync_batchnorm(teacher)
            adaptations.append('the teacher runs without synchronising batch norm')
        if not trained and disable_checkpointing(teacher):
            adaptations.append('the teacher runs without activation checkpointing')
        if isinstance(distiller, dict):
            check_distiller(distiller, student, teacher, trained)
            check_effects(
                distiller,
                kwargs.get('calculate_student_loss', True) or kwargs.get('student_trainable', True),
            )
        own_augments = False
        if isinstance(data_preprocessor, dict):
            own_augments = 'batch_augments' in data_preprocessor
            data_preprocessor = build_preprocessor(data_preprocessor)

        super().__init__(
            distiller=distiller,
            teacher=teacher,
            architecture=student,
            data_preprocessor=data_preprocessor,
            **kwargs,
        )
        if isinstance(distiller, dict):
            networks = dict(student=student, teacher=teacher)
            check_connectors(distiller, getattr(self.distiller, 'connectors', {}), networks)
        if not own_augments and adopt_batch_augments(self.data_preprocessor, student):
            adaptations.append("Mixup or CutMix of the student's `train_cfg` is kept")
        if teacher_ckpt:
            recorded = load_teacher(self.teacher, teacher_ckpt, teacher_ckpt_strict)
        else:
            recorded = initial_preprocessor(self.teacher)
        pretrained = None if teacher_ckpt else expected_normalization(teacher, teacher_settings)
        if pretrained and written is not None:
            own = build_preprocessor(written)
            warn_of_other_normalization('model.teacher', teacher, teacher_settings, own)
        self.teacher_inputs = adapt_inputs(
            self.teacher, self.data_preprocessor, written, recorded, teacher_input_size, pretrained
        )
        warn_of_other_normalization(
            'model.architecture', student, student_settings, self.data_preprocessor
        )
        if isinstance(self.distiller, OFDDistiller):
            # From the teacher's weights; otherwise done by OverhaulFeatureDistillation.
            self.distiller.init_ofd_connectors(self.teacher)
        self.adaptations = adaptations
        """What was changed so that the two networks go together."""
        for text in adaptations:
            print_log(text, logger='current')
        self.boundary_norm = boundary_norm
        self.boundary_reduction = boundary_reduction
        self.teacher_eval = teacher_eval and not self.teacher_trainable
        if self.teacher_eval:
            self.teacher.eval()
        self.fast_teacher = FastTeacher(self.teacher, teacher_compile)
        replaced = self.fast_teacher.parts
        self.teacher_is_fast = self.teacher_eval and not self._teacher_is_recorded_in(replaced)
        self.chance_check = ChanceCheck()
        self.samplers: list[Sampler] = []
        """What makes samples, in the order of their ``record_idx``, set by hooks."""
        self._requests: dict[Sampler, SampleRequest] = {}
        self._space: PixelSpace | None = None
        self._is_first_step = True

    def request_samples(self, sampler: Sampler, request: SampleRequest) -> None:
        """Let one of the samplers make samples in the next step, whose request then has them."""
        self._requests[sampler] = request

    def losses_of(self, sampler: Sampler) -> list[str]:
        """Names of the distillation losses that read what one of the samplers makes."""
        if len(self.samplers) <= 1:
            return self.boundary_losses
        index = 1 + self.samplers.index(sampler)
        return [
            name
            for name, mapping in self.distiller.loss_forward_mappings.items()
            if any(record.get('record_idx', 0) == index for record in mapping.values())
        ]

    @property
    def boundary_losses(self) -> list[str]:
        """Names of the distillation losses that read more than the first record.

        It is one of samples, unless its module runs several times in a forward call.
        """
        mappings = getattr(self.distiller, 'loss_forward_mappings', {})
        return [
            name
            for name, mapping in mappings.items()
            if any(record.get('record_idx', 0) >= 1 for record in mapping.values())
        ]

    def train(self, mode: bool = True) -> 'AMKD':
        """Set the mode of everything but a teacher in evaluation."""
        super().train(mode)
        if self.teacher_eval:
            self.teacher.eval()
        return self

    def loss(
        self, batch_inputs: Tensor, data_samples: list[BaseDataElement] | None = None
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            batch_inputs (Tensor): Preprocessed images, (N, C, H, W).
            data_samples (list[BaseDataElement]): N data samples.

        Returns:
            dict[str, Tensor]: ``student.*``, the task loss; ``distill.*``, the distillation
            losses; ``teacher.*`` if the teacher is trained.

        Raises:
            TypeError: If samples are to be made, and the data samples have no single label each.
            ValueError: In the first step, if a record of the student has no gradient because the
                activations around it are checkpointed, or if a loss reads a record that no step
                makes.
        """
        requests, self._requests = self._requests, {}
        if not self.boundary_losses or self.distillation_stopped:
            # Samples that no loss reads would only cost time and disturb batch norm.
            requests = {}
        if self.teacher_is_fast:
            self.fast_teacher.update(batch_inputs)
        asks_student = any(sampler.needs_student for sampler in requests)
        with self._student_logits if asks_student else nullcontext():
            teacher_found, student_losses = self._pass(batch_inputs, data_samples)
        losses = dict()
        if self.teacher_trainable:
            losses.update(add_prefix(teacher_found, 'teacher'))
        else:
            self.chance_check.update(teacher_found, data_samples)
        if self.calculate_student_loss:
            losses.update(add_prefix(student_losses, 'student'))

        # Without samplers the losses that read their records are told by an empty one, too.
        for passes, sampler in enumerate(self.samplers or [None], 1):
            request = requests.get(sampler)
            if request is not None:
                self._make_samples(sampler, request, batch_inputs, data_samples, teacher_found)
            if request is not None and self._is_anywhere(request.samples):
                self._pass_samples(request.samples, data_samples)
            else:
                record_nothing(self.distiller.teacher_recorders, passes)
                record_nothing(self.distiller.student_recorders, passes)

        if not self.distillation_stopped:
            skipped = self._losses_without_records()
            if self._is_first_step:
                self._is_first_step = False
                check_records(self.distiller, len(self.samplers))
                self._warn_without_samplers(skipped)
                if self._student_is_trained and torch.is_grad_enabled():
                    check_gradients(self.student, self.distiller)
            distill_losses = self._distill_losses(skipped)
            if self.boundary_reduction == 'batch':
                for sampler, request in requests.items():
                    share = len(request.samples.rows) / len(batch_inputs)
                    for name in self.losses_of(sampler):
                        if name in distill_losses:
                            distill_losses[name] = distill_losses[name] * share
            losses.update(add_prefix(distill_losses, 'distill'))
        if get_world_size() > 1 and (self.distillation_stopped or skipped):
            self._touch_distiller(losses)
        return losses

    def _pass(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None,
        samples: Samples | None = None,
    ) -> tuple:
        """Let both networks see the clean batch, or samples, and record what the distiller wants.

        Returns:
            tuple: What :meth:`_run_teacher` gives, and the losses of the student.
        """
        teacher_recorders, deliveries = self.distiller.teacher_recorders, self.distiller.deliveries
        teacher_found = None
        if samples is None or not self._teacher_is_known(samples):
            # First the deliveries keep what the teacher makes, then they hand it to the student.
            self.distiller.set_deliveries_override(False)
            with recording(teacher_recorders, samples), deliveries:
                teacher_found = self._run_teacher(inputs, data_samples)
        self.distiller.set_deliveries_override(True)
        norm = nullcontext()
        if samples is not None:
            norm = normalize_boundary_samples(self.student, self.boundary_norm, len(inputs))
        with recording(self.distiller.student_recorders, samples), deliveries, norm:
            return teacher_found, self._run_student(inputs, data_samples)

    def _teacher_is_known(self, samples: Samples) -> bool:
        """Record what the teacher's pass would, if the sampler knows all of it."""
        if not self.teacher_eval or self.distiller.deliveries.deliveries:
            return False
        return record_known(self.distiller.teacher_recorders, samples)

    def _pass_samples(self, samples: Samples, data_samples: list[BaseDataElement]) -> None:
        """Let both networks see samples; they have the labels of the rows they were made from."""
        space = self._pixel_space()
        made_from = [data_samples[row] for row in samples.rows.tolist()]
        self._pass(space.pad(samples.inputs), made_from, samples)

    @torch.no_grad()
    def _make_samples(
        self,
        sampler: Sampler,
        request: SampleRequest,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None,
        teacher_logits: Tensor | dict,
    ) -> None:
        """Let a sampler make the samples of a request, given the clean batch and its logits."""
        started = time.perf_counter()
        labels = labels_of(data_samples)
        if labels is None:
            raise TypeError(
                f'{type(sampler).__name__} needs single-label samples, one `gt_label` each'
            )
        space = self._pixel_space()
        student_logits = None
        if sampler.needs_student:
            student_logits = self._student_logits.get_record_data().detach()
        with self._ready_teacher() as teacher, nullcontext() if request.amp else exact(inputs):
            if teacher is self.fast_teacher:
                teacher.update(inputs)
            if not self.teacher_eval:
                teacher_logits = teacher(inputs)
            batch = CleanBatch(
                space.crop(inputs, request.size),
                labels.to(inputs.device),
                # Of a step in mixed precision they are half, which the choice of samples is not.
                teacher_logits.to(inputs),
                None if student_logits is None else student_logits.to(inputs),
                lambda images: teacher(space.pad(images)),
                space,
            )
            generator = torch.Generator().manual_seed(request.seed)
            request.samples = sampler(batch, generator)
        request.seconds = time.perf_counter() - started

    def _pixel_space(self) -> PixelSpace:
        """That of the preprocessor, the same as long as its tensors are."""
        space = PixelSpace(self.data_preprocessor)
        if self._space is None or space.mean is not self._space.mean:
            self._space = space
        return self._space

    @contextmanager
    def _ready_teacher(self) -> Iterator[Callable[[Tensor], Tensor]]:
        """Logits of the teacher in evaluation mode, as a function with input gradients."""
        # MMRazor may train the statistics of its batch norm; then a folded copy is soon outdated.
        if not self.teacher_trainable and (self.teacher_eval or self.teacher_norm_eval):
            answer = self.fast_teacher
        else:
            answer = partial(ask, self.teacher)
        modes = nullcontext() if self.teacher_eval else evaluation_mode(self.teacher)
        # Checkpointing does not give input gradients.
        trained = [self.teacher] if self.teacher_trainable else []
        with modes, without_checkpointing(*trained):
            yield answer

    @cached_property
    def _student_logits(self) -> LogitsRecorder:
        """Sees the student's logits in its clean pass, for samplers."""
        recorder = LogitsRecorder()
        recorder.initialize(self.student)
        return recorder

    def _is_anywhere(self, samples: Samples) -> bool:
        """Whether there are samples; where batch norm is synchronised, in each of the processes.

        It waits for all of them in every forward pass.
        """
        has_rows = len(samples.rows) > 0
        if get_world_size() == 1 or not has_sync_batch_norm(self.student):
            return has_rows
        everywhere = torch.tensor(int(has_rows), device=samples.rows.device)
        all_reduce(everywhere, 'min')
        return bool(everywhere)

    def _touch_distiller(self, losses: dict[str, Tensor]) -> None:
        """Let a loss depend, by zero, on the distiller's parameters, such as a connector's.

        Processes that average gradients wait for those of every parameter, also in steps in which
        no loss uses it.
        """
        name = next((name for name in losses if 'loss' in name), None)
        for parameter in self.distiller.parameters():
            if name and parameter.requires_grad:
                losses[name] = losses[name] + 0 * parameter.sum()

    def _run_teacher(self, inputs: Tensor, data_samples: list[BaseDataElement]):
        """Losses of a teacher that is trained, otherwise logits."""
        if self.teacher_trainable:
            return self.teacher(inputs, data_samples, mode='loss')
        with torch.no_grad():
            if self.teacher_is_fast:
                return self.fast_teacher(inputs, data_samples)
            return to_logits(self.teacher(inputs, data_samples, mode='tensor'))

    def _teacher_is_recorded_in(self, parts: list[str]) -> bool:
        """Whether the distiller may record or deliver something of these children."""
        if self.distiller.deliveries.deliveries:
            return True
        for recorder in self.distiller.teacher_recorders.recorders.values():
            sources = sources_of(recorder)
            if sources is None or any(name.partition('.')[0] in parts for name in sources):
                return True
        return False

    @property
    def _student_is_trained(self) -> bool:
        return self.calculate_student_loss or self.student_trainable

    def _run_student(self, inputs: Tensor, data_samples: list[BaseDataElement]):
        """Losses of the student; by ``mode='loss'``, so that labels can be recorded."""
        with torch.set_grad_enabled(self._student_is_trained and torch.is_grad_enabled()):
            return self.student(inputs, data_samples, mode='loss')

    def _losses_without_records(self) -> list[str]:
        """Losses that read a record that only samples would have made."""

        def exists(recorder: str, from_student: bool, record_idx: int = 0, **_) -> bool:
            side = 'student_recorders' if from_student else 'teacher_recorders'
            records = getattr(self.distiller, side).get_recorder(recorder).data_buffer
            return record_idx < len(records) and records[record_idx] is not None

        mappings = getattr(self.distiller, 'loss_forward_mappings', {})
        return [
            name
            for name in self.boundary_losses
            if not all(exists(**record) for record in mappings[name].values())
        ]

    def _distill_losses(self, skipped: list[str]) -> dict[str, Tensor]:
        """Distillation losses without the ``skipped``."""
        distiller = self.distiller
        if skipped:
            # It has the same parts, and fewer losses to compute.
            distiller = copy(distiller)
            distiller.loss_forward_mappings = {
                name: mapping
                for name, mapping in distiller.loss_forward_mappings.items()
                if name not in skipped
            }
        return distiller.compute_distill_losses()

    def _warn_without_samplers(self, skipped: list[str]) -> None:
        """Warn if losses wait for samples that nothing makes."""
        if skipped and not self.samplers:
            warnings.warn(
                f'{skipped} read boundary samples (`record_idx=1`), but nothing makes any: add '
                "boundary_samples=dict(type='mmrazor.BoundarySampleHook', ...) to `default_hooks`",
                stacklevel=2,
            )


def exact(inputs: Tensor) -> torch.autocast:
    """Full precision on the device of the inputs, within mixed precision."""
    return torch.autocast(inputs.device.type, enabled=False)


def has_sync_batch_norm(model: nn.Module) -> bool:
    """Whether a model has PyTorch's or MMCV's synchronised batch norm."""
    return any(map(is_synchronised, model.modules()))
