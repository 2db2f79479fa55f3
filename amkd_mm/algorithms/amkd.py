"""AMKD: adversarial metric knowledge distillation."""

import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.logging import print_log
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.structures import BaseDataElement
from mmrazor.models import BaseAlgorithm, SingleTeacherDistill
from mmrazor.models.distillers import OFDDistiller
from mmrazor.models.task_modules.recorder import ParameterRecorder, RecorderManager
from mmrazor.models.utils import add_prefix
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..activation_checkpointing import disable_checkpointing
from ..argument_checks import check_bool, check_kind
from ..boundary_rows import Rows, is_boundary, split
from ..classifiers import expected_normalization, to_logits, warn_of_other_normalization
from ..fast_teacher import FastTeacher
from ..recorded_config import check_normalization
from ..recorders import sources_of
from .boundary_norm import check_boundary_norm, is_synchronised, normalize_boundary_rows
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


@MODELS.register_module()
class AMKD(SingleTeacherDistill):
    """Distillation on clean samples and on boundary samples of the teacher.

    Published (abstract only; the full text could not be obtained): adversarial samples close to
    the teacher's decision boundary between two classes, a distillation loss on them as in BSS
    (Heo et al., AAAI 2019), and a triplet loss that constrains their distance to samples of
    negative classes. Everything else is our reconstruction:

    ``L = L_task(S(x), y) + a(t) KD(S(x), T(x)) + b(t) KD(S(x^), T(x^)) + c(t) Triplet(x^)``

    ``BoundarySampleHook`` appends the boundary samples x^ to the batch. This class runs the
    clean rows first and the boundary rows second inside one recorder context, so that every
    recorder holds the clean rows' record at ``record_idx=0`` and the boundary rows' at
    ``record_idx=1``. Any registered loss can therefore read either kind through
    ``loss_forward_mappings``, and every config of ``SingleTeacherDistill`` is valid here. The
    task loss of the boundary rows is dropped. Without boundary rows in a batch, the losses that
    read their records are skipped, and only those. Where several hooks append rows, those of the
    second have ``record_idx=2``, and so on, in the order of ``custom_hooks``.

    ``dict(type='Logits')``, ``dict(type='Embedding')`` and ``dict(type='Labels')`` record what
    every classifier of MMPretrain has (:mod:`amkd_mm.recorders`), MMRazor's recorders anything.
    A module that runs n times in a forward call, such as the ReLU of MMPretrain's ResNet blocks,
    makes n records of the clean rows first: its boundary rows begin at ``record_idx=n``.

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
        boundary_norm (str): How batch norm of the student, in training mode, treats boundary rows.
            ``'update'``: by their own statistics, which also update the running ones, as in BSS;
            ``'batch'``: by their own statistics, while the running ones are of clean rows alone;
            ``'running'``: by the running statistics. A single row always has these, unless batch
            norm is synchronised. Defaults to ``'update'``.
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
            ``boundary_norm`` is unknown, or PyTorch cannot compile.
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
        self.teacher_eval = teacher_eval and not self.teacher_trainable
        if self.teacher_eval:
            self.teacher.eval()
        self.fast_teacher = FastTeacher(self.teacher, teacher_compile)
        replaced = self.fast_teacher.parts
        self.teacher_is_fast = self.teacher_eval and not self._teacher_is_recorded_in(replaced)
        self.chance_check = ChanceCheck()
        self.boundary_groups = 0
        self._is_first_step = True

    @property
    def boundary_groups(self) -> int:
        """Number of hooks that append rows, set by them."""
        return self._boundary_groups

    @boundary_groups.setter
    def boundary_groups(self, number: int) -> None:
        self._boundary_groups = number
        for delivery in self.distiller.deliveries.deliveries.values():
            # The outputs of the teacher's clean and other rows wait for the student.
            delivery.data_queue = deque(maxlen=(1 + max(1, number)) * delivery.max_keep_data)

    def losses_of_group(self, group: int) -> list[str]:
        """Names of the distillation losses that read what one of the hooks appends."""
        if self.boundary_groups <= 1:
            return self.boundary_losses
        return [
            name
            for name, mapping in self.distiller.loss_forward_mappings.items()
            if any(record.get('record_idx', 0) == group for record in mapping.values())
        ]

    @property
    def boundary_losses(self) -> list[str]:
        """Names of the distillation losses that read more than the first record.

        It is one of boundary rows, unless its module runs several times in a forward call.
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
            batch_inputs (Tensor): Preprocessed images, (N, C, H, W), boundary rows last.
            data_samples (list[BaseDataElement]): N data samples.

        Returns:
            dict[str, Tensor]: ``student.*``, the task loss of the clean rows; ``distill.*``,
            the distillation losses; ``teacher.*`` if the teacher is trained.

        Raises:
            ValueError: In the first step, if a record of the student has no gradient because the
                activations around it are checkpointed, or if a loss reads a record that no step
                makes.
        """
        clean, *groups = split(batch_inputs, data_samples, max(1, self.boundary_groups))
        # Rows that no loss reads would only cost time and disturb batch norm.
        read = self.boundary_losses and not self.distillation_stopped
        passes = [clean, *(rows if read and self._has_rows(rows[0]) else None for rows in groups)]

        losses = dict()
        if self.teacher_is_fast:
            self.fast_teacher.update(clean[0])
        # First the deliveries record what the teacher's pass makes, then they hand it to the
        # student.
        self.distiller.set_deliveries_override(False)
        with self.distiller.teacher_recorders, self.distiller.deliveries:
            teacher_losses = self._run_passes(
                self._run_teacher, passes, self.distiller.teacher_recorders
            )
        if self.teacher_trainable:
            losses.update(add_prefix(teacher_losses, 'teacher'))
        else:
            self.chance_check.update(teacher_losses, clean[1])

        self.distiller.set_deliveries_override(True)
        with self.distiller.student_recorders, self.distiller.deliveries:
            student_losses = self._run_passes(
                self._run_student, passes, self.distiller.student_recorders
            )
        if self.calculate_student_loss:
            losses.update(add_prefix(student_losses, 'student'))

        if not self.distillation_stopped:
            skipped = self._losses_without_records()
            if self._is_first_step:
                self._is_first_step = False
                check_records(self.distiller, self.boundary_groups)
                self._warn_without_boundary_rows(skipped)
                if self._student_is_trained and torch.is_grad_enabled():
                    check_gradients(self.student, self.distiller)
            losses.update(add_prefix(self._distill_losses(skipped), 'distill'))
        if get_world_size() > 1 and (self.distillation_stopped or skipped):
            self._touch_distiller(losses)
        return losses

    def _has_rows(self, inputs: Tensor) -> bool:
        """Whether there are rows; where batch norm is synchronised, in each of the processes.

        It waits for all of them in every forward pass.
        """
        has_rows = len(inputs) > 0
        if get_world_size() == 1 or not has_sync_batch_norm(self.student):
            return has_rows
        everywhere = torch.tensor(int(has_rows), device=inputs.device)
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

    @staticmethod
    def _run_passes(run: Callable, passes: list[Rows | None], recorders: RecorderManager):
        """Run a network on the rows of each pass, and return what it makes of the clean ones.

        Rows that are not there leave empty records, so that those of the next have their index.
        """
        clean, *groups = passes
        found = run(*clean)
        buffers = [
            recorder.data_buffer
            for recorder in recorders.recorders.values()
            # A parameter is there at all times.
            if not isinstance(recorder, ParameterRecorder)
        ]
        lengths = [len(buffer) for buffer in buffers]
        for rows in groups:
            if rows is not None:
                run(*rows)
                continue
            for buffer, length in zip(buffers, lengths, strict=True):
                buffer.extend([None] * length)
        return found

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
        grad = torch.set_grad_enabled(self._student_is_trained and torch.is_grad_enabled())
        norm = nullcontext()
        if data_samples and is_boundary(data_samples[0]):
            norm = normalize_boundary_rows(self.student, self.boundary_norm, len(inputs))
        with grad, norm:
            return self.student(inputs, data_samples, mode='loss')

    def _losses_without_records(self) -> list[str]:
        """Losses that read a record that only boundary rows would have made."""

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
        if not skipped:
            return self.distiller.compute_distill_losses()
        mappings = self.distiller.loss_forward_mappings
        self.distiller.loss_forward_mappings = {
            name: mapping for name, mapping in mappings.items() if name not in skipped
        }
        try:
            return self.distiller.compute_distill_losses()
        finally:
            self.distiller.loss_forward_mappings = mappings

    def _warn_without_boundary_rows(self, skipped: list[str]) -> None:
        """Warn if losses wait for boundary rows that nothing produces."""
        if skipped and not self.boundary_groups:
            warnings.warn(
                f'{skipped} read boundary samples (`record_idx=1`), but nothing '
                "makes any: add dict(type='mmrazor.BoundarySampleHook', ...) to `custom_hooks`",
                stacklevel=2,
            )


def has_sync_batch_norm(model: nn.Module) -> bool:
    """Whether a model has PyTorch's or MMCV's synchronised batch norm."""
    return any(map(is_synchronised, model.modules()))
