"""CheckedSingleTeacherDistill: distillation by a teacher, checked when it is built."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack

import torch
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmpretrain.models import BaseRetriever
from mmrazor.models import BaseAlgorithm, SingleTeacherDistill
from mmrazor.models.distillers import OFDDistiller
from mmrazor.models.utils import add_prefix
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..checkpoints.recorded_config import check_normalization
from ..classifiers import (
    TeacherEnsemble,
    members_of,
    num_classes,
    to_logits,
    warn_of_other_normalization,
)
from ..config.argument_checks import check_bool, check_kind
from ..data_preprocessors.building import build_preprocessor
from ..recorders import LogitsRecorder, recording, sources_of
from ..teachers import ChanceCheck, fold_teacher, prepare_teachers, read_teachers
from ..teachers.checkpoint import check_exists
from .connector_checks import check_connectors
from .distiller_checks import check_arguments, check_distiller
from .effect_checks import check_effects, check_records
from .gradient_check import check_gradients
from .pair import adopt_batch_augments, build_pair

# Settings that are True or False.
FLAGS = (
    'teacher_ckpt_strict',
    'teacher_eval',
    'teacher_trainable',
    'teacher_norm_eval',
    'student_trainable',
    'calculate_student_loss',
)


@MODELS.register_module()
class CheckedSingleTeacherDistill(SingleTeacherDistill):
    """``SingleTeacherDistill`` with a teacher that stays what it was, and early, clear errors.

    Every config of ``SingleTeacherDistill`` is valid here. The losses are the same, but for what
    is wrong there:

    - A teacher that is not trained runs wholly in evaluation mode (MMRazor leaves Dropout and
      DropPath alive) and by ``mode='tensor'``: its own loss is not computed, so record labels on
      the student's side. It runs as a :class:`~amkd_mm.teachers.FoldedTeacher`, unless a recorder
      looks into the parts that this replaces.
    - It insists that the teacher's checkpoint fits, and names the config key of a mistake when the
      model is built, or in the first step.
    - The teacher gets the images as it was trained on them, also in validation: the student's are
      normalised anew by :class:`~amkd_mm.teachers.InputAdapter` if the two differ in mean,
      standard deviation or order of channels. What the teacher was trained on is what
      ``teacher.data_preprocessor`` says, otherwise the config in its checkpoint, otherwise
      torchvision or timm where the weights are theirs, otherwise the config that its ``cfg_path``
      names, otherwise the same as the student.

    The teacher may be a :class:`~amkd_mm.classifiers.TeacherEnsemble` of several, for each of which
    all of this holds.

    ``dict(type='Logits')``, ``dict(type='Embedding')`` and ``dict(type='Labels')`` record what
    every classifier of MMPretrain has (:mod:`amkd_mm.recorders`), MMRazor's recorders anything.

    Args:
        distiller (dict | BaseDistiller): Config of a distiller.
        teacher (dict | BaseModel): Config of the teacher, or the teacher.
        teacher_ckpt (str | dict[str, str], optional): Path or URL of the teacher's checkpoint; of
            an ensemble those of its members by name, but for those whose own config has weights.
            Defaults to None.
        teacher_ckpt_strict (bool): Whether every key of the checkpoint must match the teacher.
            Defaults to True.
        teacher_eval (bool): Whether to keep the whole teacher in evaluation mode while it is not
            trained. Defaults to True.
        teacher_input_size (int | Sequence[int] | dict, optional): Height and width of the images
            for the teacher, to which those of the student are resized (bicubic, differentiable); of
            an ensemble one for all, or those of some members by name. Defaults to None, the size of
            the student's.
        teacher_compile (bool | dict): Whether to compile the teacher, while it is not trained,
            by :func:`torch.compile`, or the arguments of that. Defaults to False.
        data_preprocessor (dict | nn.Module, optional): As in MMPretrain, ``type`` may be left
            out, and ``train_cfg.augments`` of the student (Mixup, CutMix) are part of it unless it
            has ``batch_augments`` of its own, which may be None. Defaults to None, the student's.
        **kwargs: See ``SingleTeacherDistill``.

    Raises:
        FileNotFoundError: If ``teacher_ckpt`` does not exist.
        KeyError: If the distiller names an unknown recorder, source, loss or connector, or a
            setting an unknown member of the ensemble.
        TypeError: If an argument is unknown or of another type.
        ValueError: If the checkpoint does not fit, the class counts differ, a head is for several
            labels or tasks or cannot be trained, a recorder waits for the loss of a teacher that is
            not trained, settings beside ``cfg_path`` or a loss without a mapping have no effect, or
            PyTorch cannot compile.
    """

    def __init__(
        self,
        distiller: dict,
        teacher: BaseModel | dict,
        teacher_ckpt: str | dict[str, str] | None = None,
        *,
        architecture: BaseModel | dict,
        teacher_ckpt_strict: bool = True,
        teacher_eval: bool = True,
        teacher_compile: bool | dict = False,
        teacher_input_size: int | Sequence[int] | dict | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        **kwargs,
    ) -> None:
        bases = (type(self), CheckedSingleTeacherDistill, SingleTeacherDistill, BaseAlgorithm)
        check_arguments(kwargs, *(base.__init__ for base in bases))
        flags = dict(teacher_ckpt_strict=teacher_ckpt_strict, teacher_eval=teacher_eval, **kwargs)
        check_settings(flags, teacher_compile)
        teachers = read_teachers(teacher, teacher_ckpt, teacher_input_size)
        for one in teachers.values():
            if one.checkpoint:
                check_exists(one.checkpoint, one.keys.checkpoint)
        preprocessors = {'data_preprocessor': data_preprocessor}
        for one in teachers.values():
            preprocessors[f'{one.keys.settings}.data_preprocessor'] = one.preprocessor
        for key, settings in preprocessors.items():
            if isinstance(settings, dict):
                check_normalization(settings, key)

        student_settings = architecture if isinstance(architecture, dict) else {}
        trains_teacher = kwargs.get('teacher_trainable', False)
        trains_student = kwargs.get('calculate_student_loss', True) or kwargs.get(
            'student_trainable', True
        )
        student, teacher, changes = build_pair(architecture, teacher, trains_teacher)
        if isinstance(distiller, dict):
            check_distiller(distiller, student, teacher, trains_teacher)
            check_effects(distiller, trains_student)
        has_own_augments = False
        if isinstance(data_preprocessor, dict):
            has_own_augments = 'batch_augments' in data_preprocessor
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
        if not has_own_augments and adopt_batch_augments(self.data_preprocessor, student):
            changes.append("Mixup or CutMix of the student's `train_cfg` is kept")
        if isinstance(self.student, BaseRetriever):
            # It computes the features of its database by itself.
            self.student.data_preprocessor = self.data_preprocessor
        self.input_adapters = prepare_teachers(
            self.teacher,
            teachers,
            self.data_preprocessor,
            teacher_ckpt_strict,
            trains_teacher,
        )
        """Of the teacher, whose name is ``''``, or of each member of an ensemble by name."""
        warn_of_other_normalization(
            'model.architecture', student, student_settings, self.data_preprocessor
        )
        if isinstance(self.distiller, OFDDistiller):
            # From the teacher's weights; otherwise done by OverhaulFeatureDistillation.
            self.distiller.init_ofd_connectors(self.teacher)
        self.adaptations = changes
        """What was changed so that the two networks go together."""
        for text in changes:
            print_log(text, logger='current')
        self.teacher_eval = teacher_eval and not self.teacher_trainable
        if self.teacher_eval:
            self.teacher.eval()
        self.folded_teacher = fold_teacher(self.teacher, teacher_compile)
        replaced = self.folded_teacher.parts
        self.teacher_is_folded = self.teacher_eval and not self._teacher_is_recorded_in(replaced)
        # A network that finds images has no classes to guess.
        self.chance_checks = {
            name: ChanceCheck(teachers[name].keys)
            for name, network in members_of(self.teacher).items()
            if num_classes(network) is not None
        }
        self._member_logits: dict[str, LogitsRecorder] = {}
        """See what each member of an ensemble says of the clean batch."""
        if isinstance(self.teacher, TeacherEnsemble):
            self._member_logits = {name: LogitsRecorder(teacher=name) for name in teachers}
        for recorder in self._member_logits.values():
            recorder.initialize(self.teacher)
        self._is_first_step = True

    def train(self, mode: bool = True) -> 'CheckedSingleTeacherDistill':
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
            ValueError: In the first step, if a record of the student has no gradient because the
                activations around it are checkpointed, or if a loss reads a record that no step
                makes.
        """
        losses, _ = self._clean_pass(batch_inputs, data_samples)
        if not self.distillation_stopped:
            self._check_first_step()
            losses.update(add_prefix(self.distiller.compute_distill_losses(), 'distill'))
        elif get_world_size() > 1:
            self._touch_distiller(losses)
        return losses

    def _clean_pass(
        self, inputs: Tensor, data_samples: list[BaseDataElement] | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Let both networks see the batch, and record what the distiller wants.

        Returns:
            tuple: Losses of the networks alone, and the logits of a teacher that is not trained by
            its name, which is ``''``, and those of each member of an ensemble.
        """
        if self.teacher_is_folded:
            self.folded_teacher.update(inputs)
        recorders = self.distiller.teacher_recorders, self.distiller.student_recorders
        with ExitStack() as members:
            for recorder in self._member_logits.values():
                members.enter_context(recorder)
            teacher_found = self._teacher_pass(inputs, data_samples, recording(recorders[0]))
        student_losses = self._student_pass(inputs, data_samples, recording(recorders[1]))
        losses, logits = dict(), dict()
        if self.teacher_trainable:
            losses.update(add_prefix(teacher_found, 'teacher'))
        else:
            logits[''] = teacher_found
            for name, recorder in self._member_logits.items():
                logits[name] = recorder.get_record_data()
            for name, check in self.chance_checks.items():
                check.update(logits[name], data_samples)
        if self.calculate_student_loss:
            losses.update(add_prefix(student_losses, 'student'))
        return losses, logits

    def _teacher_pass(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None,
        recorders: AbstractContextManager,
    ) -> Tensor | dict:
        """Let the teacher see images within its recorders; gives what :meth:`_run_teacher` does."""
        # First the deliveries keep what the teacher makes, then they hand it to the student.
        self.distiller.set_deliveries_override(False)
        with recorders, self.distiller.deliveries:
            return self._run_teacher(inputs, data_samples)

    def _student_pass(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None,
        recorders: AbstractContextManager,
    ) -> dict[str, Tensor]:
        """Let the student see images within its recorders; gives its losses."""
        self.distiller.set_deliveries_override(True)
        with recorders, self.distiller.deliveries:
            return self._run_student(inputs, data_samples)

    def _run_teacher(self, inputs: Tensor, data_samples: list[BaseDataElement]):
        """Losses of a teacher that is trained, otherwise logits."""
        if self.teacher_trainable:
            return self.teacher(inputs, data_samples, mode='loss')
        with torch.no_grad():
            if self.teacher_is_folded:
                return self.folded_teacher(inputs, data_samples)
            return to_logits(self.teacher(inputs, data_samples, mode='tensor'))

    @property
    def _student_is_trained(self) -> bool:
        return self.calculate_student_loss or self.student_trainable

    def _run_student(self, inputs: Tensor, data_samples: list[BaseDataElement]):
        """Losses of the student; by ``mode='loss'``, so that labels can be recorded."""
        with torch.set_grad_enabled(self._student_is_trained and torch.is_grad_enabled()):
            return self.student(inputs, data_samples, mode='loss')

    def _check_first_step(self) -> None:
        """Check, in the first step, what can be known only now: see :meth:`loss`."""
        if not self._is_first_step:
            return
        self._is_first_step = False
        self._check_records()
        if self._student_is_trained and torch.is_grad_enabled():
            check_gradients(self.student, self.distiller)

    def _check_records(self) -> None:
        """Raise ``ValueError`` if a loss reads a record that no step makes."""
        check_records(self.distiller)

    def _touch_distiller(self, losses: dict[str, Tensor]) -> None:
        """Let a loss depend, by zero, on the distiller's parameters, such as a connector's.

        Processes that average gradients wait for those of every parameter, also in steps in which
        no loss uses it.
        """
        name = next((name for name in losses if 'loss' in name), None)
        for parameter in self.distiller.parameters():
            if name and parameter.requires_grad:
                losses[name] = losses[name] + 0 * parameter.sum()

    def _teacher_is_recorded_in(self, parts: list[str]) -> bool:
        """Whether the distiller may record or deliver something of these modules."""
        if self.distiller.deliveries.deliveries:
            return True
        for recorder in self.distiller.teacher_recorders.recorders.values():
            sources = sources_of(recorder)
            if sources is None or any(
                f'{name}.'.startswith(f'{part}.') for name in sources for part in parts
            ):
                return True
        return False


def check_settings(flags: dict, teacher_compile: object) -> None:
    """Check settings of ``model`` by type.

    Raises:
        TypeError: If one is of another type.
    """
    for name in FLAGS:
        check_bool(f'model.{name}', flags.get(name, True))
    check_kind('model.teacher_compile', teacher_compile, (bool, dict), 'True or dict()')
