"""A teacher with its weights, and with images as it was trained on them."""

from copy import deepcopy

from mmengine.model import BaseDataPreprocessor
from torch import nn

from ..classifiers import expected_normalization, members_of, warn_of_other_normalization
from ..data_preprocessors.building import build_preprocessor
from .checkpoint import initial_checkpoints, initial_preprocessor, load_teacher
from .input_adapter import InputAdapter
from .input_normalization import adapt_inputs
from .settings import TeacherSettings


def prepare_teachers(
    teacher: nn.Module,
    settings: dict[str, TeacherSettings],
    preprocessor: BaseDataPreprocessor,
    strict: bool = True,
    trained: bool = False,
) -> dict[str, InputAdapter]:
    """Load the weights of a teacher, or of each member of an ensemble, and give it its inputs.

    Args:
        teacher (nn.Module): The built teacher, which is changed in place.
        settings (dict[str, TeacherSettings]): As :func:`read_teachers` gives them.
        preprocessor (BaseDataPreprocessor): The student's.
        strict (bool): Whether every key of a checkpoint must match. Defaults to True.
        trained (bool): See :func:`prepare_teacher`.

    Returns:
        dict[str, InputAdapter]: What each does first, if there is anything to do.

    Raises:
        FileNotFoundError: If a checkpoint does not exist.
        ValueError: If one does not fit, or no image can be normalised as it says.
    """
    members = members_of(teacher)
    found = {
        name: prepare_teacher(member, settings[name], preprocessor, strict, trained)
        for name, member in members.items()
    }
    # Or a validation of the teacher would normalise twice. A copy, for it has the teacher's mode.
    teacher.data_preprocessor = deepcopy(preprocessor)
    # Of an ensemble each member is initialised by itself, unless none needs it.
    teacher._is_init = all(member.is_init for member in members.values())
    return found


def prepare_teacher(
    teacher: nn.Module,
    settings: TeacherSettings,
    preprocessor: BaseDataPreprocessor,
    strict: bool = True,
    trained: bool = False,
) -> InputAdapter:
    """Load a teacher's weights, and give it the inputs that it was trained on.

    Args:
        teacher (nn.Module): The built teacher, which is changed in place.
        settings (TeacherSettings): What the config says of it. Without a checkpoint the weights are
            of its ``init_cfg``.
        preprocessor (BaseDataPreprocessor): The student's.
        strict (bool): Whether every key of the checkpoint must match. Defaults to True.
        trained (bool): Whether it is trained, too. Without weights it then learns what images it
            gets. Defaults to False.

    Returns:
        InputAdapter: What the teacher now does first, if there is anything to do.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If it does not fit, or no image can be normalised as it says.
    """
    keys, configured, pretrained = settings.keys, settings.preprocessor, None
    if settings.checkpoint:
        recorded = load_teacher(teacher, settings.checkpoint, strict, keys.checkpoint)
    else:
        recorded = initial_preprocessor(teacher, keys.settings)
        pretrained = expected_normalization(teacher, settings.network)
    if pretrained and configured is not None:
        own = build_preprocessor(configured)
        warn_of_other_normalization(keys.settings, teacher, settings.network, own)
    has_weights = (
        not trained or bool(settings.checkpoint) or any(True for _ in initial_checkpoints(teacher))
    )
    return adapt_inputs(
        teacher,
        preprocessor,
        configured,
        recorded,
        settings.input_size,
        pretrained,
        keys,
        has_weights,
    )
