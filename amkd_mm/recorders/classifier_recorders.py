"""Recorders of what every classifier has: logits, embedding, labels, targets."""

import warnings
from abc import abstractmethod
from typing import Any

import torch
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.registry import TASK_UTILS
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..classifiers import find_outputs, members_of, to_embedding
from ..samplers import Samples


class ClassifierRecorder(BaseRecorder):
    """Records once in each forward call of a classifier, and needs no ``source``.

    To be named without ``Recorder``, as all of MMRazor's: ``dict(type='Logits')``.

    Raises:
        ValueError: If the model classifies several labels or tasks, or has no class scores.
    """

    def __init__(self) -> None:
        super().__init__(source='')
        self.sources: tuple[str, ...] = ()
        """Names of the modules it looks into, once it knows the model; '' is the model."""
        self.samples: Samples | None = None
        """What the classifier is called with in a pass over samples; None in a clean pass."""
        self._recording = False
        self._handles: list[RemovableHandle] = []

    def prepare_from_model(self, model: nn.Module) -> None:
        """Find what to record in the model."""
        self.sources = self.find_sources(model)
        modules = dict(model.named_modules())
        for source in self.sources:
            self._handles.append(modules[source].register_forward_hook(self.forward_hook))

    @abstractmethod
    def find_sources(self, model: nn.Module) -> tuple[str, ...]:
        """Names of the modules whose calls are to be seen."""

    @abstractmethod
    def record(self, module: nn.Module, inputs: tuple, outputs: Any) -> Any:
        """Append to ``data_buffer`` what a call of such a module gives.

        Returns:
            What the network goes on with instead of the outputs, unless that is None.
        """

    def known_record(self, samples: Samples) -> Tensor | None:
        """What a pass over samples would record, as far as that is known without it."""
        return None

    def forward_hook(self, module: nn.Module, inputs: tuple, outputs: Any) -> Any:
        """See a module's call."""
        if self._recording:
            return self.record(module, inputs, outputs)

    def detach(self) -> None:
        """Forget the model."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> None:
        super().__enter__()
        self._recording = True

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        self._recording = False


@TASK_UTILS.register_module()
class LogitsRecorder(ClassifierRecorder):
    """Records the logits, (N, K): the scores whose softmax the classifier predicts.

    Those of several branches are summed as in the prediction, and the margin that ArcFace adds
    while training is left out.

    Args:
        teacher (str, optional): Of a ``TeacherEnsemble``, the member whose logits are recorded.
            Defaults to None, their mean.
    """

    def __init__(self, teacher: str | None = None) -> None:
        super().__init__()
        self.teacher = teacher

    def find_sources(self, model: nn.Module) -> tuple[str, ...]:
        """See :class:`ClassifierRecorder`."""
        check_member(model, self.teacher)
        scores, self._to_logits, _ = find_outputs(model)
        return (scores,)

    def record(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        """See :class:`ClassifierRecorder`."""
        # The head of an ensemble gets what each member says.
        logits = self._to_logits(outputs) if self.teacher is None else inputs[0][self.teacher]
        self.data_buffer.append(logits)

    def known_record(self, samples: Samples) -> Tensor | None:
        """See :class:`ClassifierRecorder`; of the teacher."""
        return samples.teacher_logits if samples.teacher == self.teacher else None


@TASK_UTILS.register_module()
class EmbeddingRecorder(ClassifierRecorder):
    """Records the embedding, (N, D): what the layer that makes the class scores gets.

    Feature maps are averaged, and several layers' features (of distilled tokens, of branches, or of
    the members of an ensemble) concatenated.

    Args:
        teacher (str, optional): Of a ``TeacherEnsemble``, the member whose embedding is recorded.
            Defaults to None, those of all members.
    """

    def __init__(self, teacher: str | None = None) -> None:
        super().__init__()
        self.teacher = teacher
        self._found: list[Tensor] = []

    def find_sources(self, model: nn.Module) -> tuple[str, ...]:
        """See :class:`ClassifierRecorder`."""
        check_member(model, self.teacher)
        if self.teacher is None:
            return find_outputs(model).layers
        layers = find_outputs(members_of(model)[self.teacher]).layers
        return tuple(f'{self.teacher}.{layer}' for layer in layers)

    def record(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        """See :class:`ClassifierRecorder`."""
        self._found.append(inputs[0])
        if len(self._found) == len(self.sources):
            self.data_buffer.append(to_embedding(self._found))
            self._found = []

    def __enter__(self) -> None:
        super().__enter__()
        # A step before may have failed between two layers.
        self._found = []


def check_member(model: nn.Module, teacher: str | None) -> None:
    """Raise ``ValueError`` if a teacher is named that is no member of a model."""
    if teacher is not None and teacher not in members_of(model):
        raise ValueError(
            f'teacher={teacher!r}: {type(model).__name__} has no such member; it has '
            f'{[name for name in members_of(model) if name]}'
        )


@TASK_UTILS.register_module()
class LabelsRecorder(ClassifierRecorder):
    """Records the labels, (N,) int64, that the classifier is given with the images.

    Raises:
        TypeError: If the data samples have no single label each, or Mixup or CutMix mixed them.
    """

    def find_sources(self, model: nn.Module) -> tuple[str, ...]:
        """See :class:`ClassifierRecorder`."""
        return ('',)

    def record(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        """See :class:`ClassifierRecorder`."""
        images, data_samples = inputs
        labels = [sample.get('gt_label') for sample in data_samples]
        if any(label is None or label.numel() != 1 for label in labels):
            raise TypeError('dict(type="Labels") needs samples with one `gt_label` each')
        scores = [sample.get('gt_score') for sample in data_samples]
        if any(score is not None and score.max() < 1 for score in scores):
            raise TypeError(
                'dict(type="Labels") needs images of one class each: set '
                '`data_preprocessor.batch_augments=None` to leave out Mixup and CutMix'
            )
        self.data_buffer.append(torch.cat([label.reshape(1) for label in labels]).to(images.device))

    def known_record(self, samples: Samples) -> Tensor:
        """See :class:`ClassifierRecorder`."""
        return samples.labels


@TASK_UTILS.register_module()
class TargetClassesRecorder(ClassifierRecorder):
    """Records the classes, (N,) int64, that the images were moved towards; -1 for none.

    Those of boundary samples; clean samples have none.
    """

    def find_sources(self, model: nn.Module) -> tuple[str, ...]:
        """See :class:`ClassifierRecorder`."""
        return ('',)

    def record(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        """See :class:`ClassifierRecorder`."""
        images = inputs[0]
        none = torch.full((len(images),), -1, device=images.device)
        self.data_buffer.append(none if self.samples is None else self.samples.targets)

    def known_record(self, samples: Samples) -> Tensor:
        """See :class:`ClassifierRecorder`."""
        return samples.targets


@TASK_UTILS.register_module()
class TargetsRecorder(TargetClassesRecorder):
    """Deprecated name of :class:`TargetClassesRecorder`."""

    def __init__(self) -> None:
        super().__init__()
        warnings.warn(
            "the recorder dict(type='Targets') is now called dict(type='TargetClasses')",
            DeprecationWarning,
            stacklevel=2,
        )
