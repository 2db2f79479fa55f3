"""Building and checking student and teacher, and what is changed so that they go together."""

from mmengine.model import revert_sync_batchnorm
from mmrazor.registry import MODELS
from torch import nn

from ..classifiers import num_classes
from ..classifiers.activation_checkpointing import disable_checkpointing
from ..teachers.keys import TeacherKeys
from ..teachers.settings import member_settings
from .boundary_norm import has_sync_batch_norm
from .distiller_checks import check_cfg_path
from .pair_checks import check_pair


def build_pair(
    architecture: dict | nn.Module, teacher: dict | nn.Module, trains_teacher: bool = False
) -> tuple[nn.Module, nn.Module, list[str]]:
    """Build student and teacher, and check that the one can learn from the other.

    Args:
        architecture (dict | nn.Module): ``model.architecture``.
        teacher (dict | nn.Module): ``model.teacher``.
        trains_teacher (bool): Whether the teacher is trained, too. Otherwise its batch norm is not
            synchronised and its activations are not checkpointed any more. Defaults to False.

    Returns:
        tuple: The student, the teacher, and what was changed, in sentences.

    Raises:
        ValueError: If class counts differ, a head is for several labels or tasks or cannot be
            trained, or settings beside ``cfg_path`` have no effect.
    """
    networks = {'model.architecture': architecture}
    for name, member in member_settings(teacher).items():
        networks[TeacherKeys(name).settings] = member
    for key, model in networks.items():
        if isinstance(model, dict):
            check_cfg_path(key, model)
    student = MODELS.build(architecture) if isinstance(architecture, dict) else architecture
    teacher = MODELS.build(teacher) if isinstance(teacher, dict) else teacher
    check_pair(student, teacher, trains_teacher)
    changes = []
    # A frozen teacher needs neither, and not every device has the one, nor an attack the other.
    if not trains_teacher and has_sync_batch_norm(teacher):
        teacher = revert_sync_batchnorm(teacher)
        changes.append('the teacher runs without synchronising batch norm')
    if not trains_teacher and disable_checkpointing(teacher):
        changes.append('the teacher runs without activation checkpointing')
    return student, teacher, changes


def adopt_batch_augments(preprocessor: nn.Module, student: nn.Module) -> bool:
    """Let the preprocessor mix images as the student's own would (Mixup, CutMix).

    MMPretrain puts ``train_cfg.augments`` of a classifier into its preprocessor, for which MMRazor
    has no use where the config has a ``data_preprocessor`` of its own.

    Returns:
        bool: Whether it does so now.

    Raises:
        ValueError: If the preprocessor cannot mix images.
    """
    augments = getattr(student.data_preprocessor, 'batch_augments', None)
    if augments is None:
        return False
    if not hasattr(preprocessor, 'batch_augments'):
        raise ValueError(
            f'data_preprocessor: {type(preprocessor).__name__} cannot mix images, as '
            '`model.architecture.train_cfg.augments` asks: use '
            "dict(type='mmpretrain.ClsDataPreprocessor', ...), or leave them out"
        )
    preprocessor.batch_augments = augments
    preprocessor.to_onehot = True
    preprocessor.num_classes = preprocessor.num_classes or num_classes(student)
    return True
