"""Build-time checks of student and teacher, before a step fails or goes wrong in silence."""

from mmpretrain.models import heads
from mmpretrain.models.heads import (
    EfficientFormerClsHead,
    LeViTClsHead,
    MultiLabelClsHead,
    MultiTaskHead,
)
from mmrazor.models.losses import CrossEntropyLoss
from torch import nn

from ..classifiers import class_count_key, members_of, num_classes
from ..teachers.keys import TeacherKeys

# OneDL's MMPretrain only.
RegressionHead = getattr(heads, 'RegressionHead', ())


def check_pair(student: nn.Module, teacher: nn.Module, trains_teacher: bool = False) -> None:
    """Raise ``ValueError`` if the two cannot be distilled, with the config key to change.

    Args:
        student (nn.Module): ``model.architecture``, built.
        teacher (nn.Module): ``model.teacher``, built.
        trains_teacher (bool): Whether the teacher's own loss is computed, too.
    """
    check_single_label('model.architecture', student)
    for name, network in members_of(teacher).items():
        place = TeacherKeys(name)
        check_single_label(place.settings, network)
        counts = num_classes(student), num_classes(network)
        if None not in counts and counts[0] != counts[1]:
            keys = class_count_key(student), class_count_key(network)
            raise ValueError(
                f'the student has {counts[0]} classes and {place.title} {counts[1]}: set '
                f'`model.architecture.{keys[0]}` and `{place.settings}.{keys[1]}` to the same '
                'number'
            )
    if 1 in counts:
        raise ValueError(
            f'`model.architecture.{class_count_key(student)}` is 1, and between one class and '
            'none there is no boundary: two classes need two scores'
        )
    check_trainable('model.architecture', student)
    if trains_teacher:
        check_trainable('model.teacher', teacher)


def check_single_label(key: str, model: nn.Module) -> None:
    """Raise ``ValueError`` for a head of several labels or tasks, of numbers, or none."""
    if getattr(model, 'head', model) is None:
        raise ValueError(
            f'{key}.head is missing, so that there are no class scores: add '
            "dict(type='LinearClsHead', num_classes=..., in_channels=...)"
        )
    head = getattr(model, 'head', None)
    if isinstance(head, (MultiLabelClsHead, MultiTaskHead)):
        raise ValueError(
            f'{key}.head: {type(head).__name__} classifies several labels or tasks per image, and '
            "distillation here is for one label: use a head such as dict(type='LinearClsHead', ...)"
        )
    if isinstance(head, RegressionHead):
        raise ValueError(
            f'{key}.head: {type(head).__name__} predicts numbers, and distillation here is for '
            "classes: use a head such as dict(type='LinearClsHead', ...)"
        )


def check_trainable(key: str, model: nn.Module) -> None:
    """Raise ``ValueError`` if MMPretrain cannot compute the loss of a model."""
    head = getattr(model, 'head', None)
    distilled = (isinstance(head, LeViTClsHead) and head.distillation) or (
        isinstance(head, EfficientFormerClsHead) and head.dist
    )
    if distilled:
        raise ValueError(
            f'{key}.head: MMPretrain cannot train {type(head).__name__} with a distillation '
            f'token: set `{key}.head.distillation=False`'
        )
    place = model if head is None else head
    loss = getattr(place, 'loss_module', None)
    where = f'{key}.loss' if head is None else f'{key}.head.loss'
    if isinstance(loss, CrossEntropyLoss):
        raise ValueError(
            f"{where} is MMRazor's CrossEntropyLoss, which compares two networks: write "
            f"`_scope_='mmpretrain'` into `{key}`, or {where}=dict("
            "type='mmpretrain.CrossEntropyLoss')"
        )
    declared, count = getattr(loss, 'num_classes', None), num_classes(model)
    if None not in (declared, count) and declared != count:
        raise ValueError(
            f'{where}.num_classes is {declared}, but the model has {count} classes: '
            f'set it to {count}'
        )
