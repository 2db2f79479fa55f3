"""AMKD: adversarial metric knowledge distillation."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import copy
from functools import cached_property, partial

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.structures import BaseDataElement
from mmpretrain.structures import DataSample
from mmrazor.models.utils import add_prefix
from mmrazor.registry import MODELS
from torch import Tensor

from ..classifiers import predict_logits
from ..classifiers.activation_checkpointing import without_checkpointing
from ..classifiers.modes import evaluation_mode
from ..config.argument_checks import check_choice
from ..data_preprocessors.normalizer import Normalizer
from ..datasets.batches import labels_of
from ..recorders import LogitsRecorder, record_known, record_nothing, recording
from ..samplers import CleanBatch, Sampler, SampleRequest, Samples
from ..teachers import FoldedTeacher
from .boundary_norm import CHOICES, has_sync_batch_norm, normalize_boundary_samples
from .checked_single_teacher_distill import CheckedSingleTeacherDistill
from .effect_checks import check_records

REDUCTIONS = ('samples', 'batch')


@MODELS.register_module()
class AMKD(CheckedSingleTeacherDistill):
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

    A module that runs n times in a forward call, such as the ReLU of MMPretrain's ResNet blocks,
    makes n records of the clean batch first: its boundary samples begin at ``record_idx=n``.

    Args:
        *args: See :class:`CheckedSingleTeacherDistill`.
        boundary_norm (str): How batch norm of the student, and of a teacher whose batch norm is
            trained, treats boundary samples. ``'update'``: by their own statistics, which also
            update the running ones, as in BSS; ``'batch'``: by their own statistics, while the
            running ones are of clean images alone; ``'running'``: by the running statistics. A
            single sample always has these, unless batch norm is synchronised. Defaults to
            ``'update'``.
        boundary_reduction (str): What the losses of boundary samples, which are means, are means
            over. ``'samples'``: over the samples that there are, as published; ``'batch'``: over
            the rows of the clean batch, so that few samples have little weight. Defaults to
            ``'samples'``.
        **kwargs: See :class:`CheckedSingleTeacherDistill`.

    Raises:
        ValueError: If ``boundary_norm`` or ``boundary_reduction`` is unknown. For other errors see
            :class:`CheckedSingleTeacherDistill`.
    """

    def __init__(
        self,
        *args,
        boundary_norm: str = 'update',
        boundary_reduction: str = 'samples',
        **kwargs,
    ) -> None:
        check_choice('model.boundary_norm', boundary_norm, CHOICES)
        check_choice('model.boundary_reduction', boundary_reduction, REDUCTIONS)
        super().__init__(*args, **kwargs)
        self.boundary_norm = boundary_norm
        self.boundary_reduction = boundary_reduction
        self.samplers: list[Sampler] = []
        """What makes samples, in the order of their ``record_idx``, set by hooks."""
        self._requests: dict[Sampler, SampleRequest] = {}
        self._normalizer: Normalizer | None = None

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

    def loss(
        self, batch_inputs: Tensor, data_samples: list[BaseDataElement] | None = None
    ) -> dict[str, Tensor]:
        """Losses of a batch, and of the samples that are made from it.

        Args:
            batch_inputs (Tensor): Preprocessed images, (N, C, H, W).
            data_samples (list[BaseDataElement]): N data samples.

        Returns:
            dict[str, Tensor]: As :class:`CheckedSingleTeacherDistill` gives them.

        Raises:
            TypeError: If samples are to be made, and the data samples have no single label each.
            ValueError: See :meth:`CheckedSingleTeacherDistill.loss`.
        """
        requests, self._requests = self._requests, {}
        if not self.boundary_losses or self.distillation_stopped:
            # Samples that no loss reads would only cost time and disturb batch norm.
            requests = {}
        asks_student = any(sampler.needs_student for sampler in requests)
        with self._student_logits if asks_student else nullcontext():
            losses, teachers = self._clean_pass(batch_inputs, data_samples)

        # Without samplers the losses that read their records are told by an empty one, too.
        for passes, sampler in enumerate(self.samplers or [None], 1):
            request = requests.get(sampler)
            if request is not None:
                self._make_samples(sampler, request, batch_inputs, data_samples, teachers)
            if request is not None and self._is_anywhere(request.samples):
                self._pass_samples(request.samples, data_samples)
            else:
                record_nothing(self.distiller.teacher_recorders, passes)
                record_nothing(self.distiller.student_recorders, passes)

        skipped = []
        if not self.distillation_stopped:
            skipped = self._losses_without_records()
            self._check_first_step()
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

    def _pass_samples(self, samples: Samples, data_samples: list[BaseDataElement]) -> None:
        """Let both networks see samples; they have the labels of the images they were made from."""
        inputs = self._current_normalizer().pad(samples.inputs)
        made_from = [
            data_samples[row] if row >= 0 else DataSample().set_gt_label(label)
            for row, label in zip(samples.rows.tolist(), samples.labels, strict=True)
        ]
        if not self._teacher_is_known(samples):
            recorders = recording(self.distiller.teacher_recorders, samples)
            with normalize_boundary_samples(self.teacher, self.boundary_norm, len(inputs)):
                self._teacher_pass(inputs, made_from, recorders)
        recorders = recording(self.distiller.student_recorders, samples)
        with normalize_boundary_samples(self.student, self.boundary_norm, len(inputs)):
            self._student_pass(inputs, made_from, recorders)

    def _teacher_is_known(self, samples: Samples) -> bool:
        """Record what the teacher's pass would, if the sampler knows all of it."""
        if not self.teacher_eval or self.distiller.deliveries.deliveries:
            return False
        return record_known(self.distiller.teacher_recorders, samples)

    @torch.no_grad()
    def _make_samples(
        self,
        sampler: Sampler,
        request: SampleRequest,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None,
        teachers: dict[str, Tensor],
    ) -> None:
        """Let a sampler make the samples of a request, given the clean batch and its logits."""
        started = time.perf_counter()
        labels = labels_of(data_samples)
        if labels is None:
            raise TypeError(
                f'{type(sampler).__name__} needs single-label samples, one `gt_label` each'
            )
        normalizer = self._current_normalizer()
        student_logits = None
        if sampler.needs_student:
            student_logits = self._student_logits.get_record_data().detach()
        exactly = nullcontext() if request.amp else exact(inputs)
        with self._ready_teacher(request.teacher) as teacher, exactly:
            if isinstance(teacher, FoldedTeacher):
                teacher.update(inputs)
            if self.teacher_eval:
                teacher_logits = teachers[request.teacher or '']
            else:
                teacher_logits = teacher(inputs)
            batch = CleanBatch(
                normalizer.crop(inputs, request.size),
                labels.to(inputs.device),
                # Of a step in mixed precision they are half, which the choice of samples is not.
                teacher_logits.to(inputs),
                None if student_logits is None else student_logits.to(inputs),
                lambda images: teacher(normalizer.pad(images)),
                lambda images: self._ask_student(normalizer.pad(images)),
                normalizer,
            )
            generator = torch.Generator().manual_seed(request.seed)
            request.samples = sampler(batch, generator)._replace(teacher=request.teacher)
        request.seconds = time.perf_counter() - started

    def _current_normalizer(self) -> Normalizer:
        """That of the preprocessor, the same as long as its tensors are."""
        normalizer = Normalizer(self.data_preprocessor)
        if self._normalizer is None or normalizer.mean is not self._normalizer.mean:
            self._normalizer = normalizer
        return self._normalizer

    @contextmanager
    def _ready_teacher(self, member: str | None = None) -> Iterator[Callable[[Tensor], Tensor]]:
        """Logits of the teacher, or of a member, in evaluation mode, as a differentiable function.

        Gradients are those of the inputs.
        """
        # MMRazor may train the statistics of its batch norm; then a folded copy is soon outdated.
        if not self.teacher_trainable and (self.teacher_eval or self.teacher_norm_eval):
            answer = self.folded_teacher if member is None else self.folded_teacher.members[member]
        else:
            network = self.teacher if member is None else self.teacher.members[member]
            answer = partial(predict_logits, network)
        modes = nullcontext() if self.teacher_eval else evaluation_mode(self.teacher)
        # Checkpointing does not give input gradients.
        trained = [self.teacher] if self.teacher_trainable else []
        with modes, without_checkpointing(*trained):
            yield answer

    def _ask_student(self, inputs: Tensor) -> Tensor:
        """Logits of the student in evaluation mode, with input gradients; it stays as it is."""
        # Checkpointing does not give input gradients.
        with evaluation_mode(self.student), without_checkpointing(self.student):
            return predict_logits(self.student, inputs)

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
        networks = (self.student, self.teacher)
        if get_world_size() == 1 or not any(map(has_sync_batch_norm, networks)):
            return has_rows
        everywhere = torch.tensor(int(has_rows), device=samples.rows.device)
        all_reduce(everywhere, 'min')
        return bool(everywhere)

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

    def _check_records(self) -> None:
        """Also warn if losses wait for samples that nothing makes."""
        check_records(self.distiller, len(self.samplers))
        skipped = self._losses_without_records()
        if skipped and not self.samplers:
            warnings.warn(
                f'{skipped} read boundary samples (`record_idx=1`), but nothing makes any: add '
                "boundary_samples=dict(type='mmrazor.BoundarySampleHook', ...) to `default_hooks`",
                stacklevel=2,
            )


def exact(inputs: Tensor) -> torch.autocast:
    """Full precision on the device of the inputs, within mixed precision."""
    return torch.autocast(inputs.device.type, enabled=False)
