"""A teacher with its weights, and with images as it was trained on them."""

from collections.abc import Sequence

from mmengine.model import BaseDataPreprocessor
from torch import nn

from ..classifiers import expected_normalization, warn_of_other_normalization
from ..data_preprocessors.building import build_preprocessor
from .checkpoint import initial_checkpoints, initial_preprocessor, load_teacher
from .input_adapter import InputAdapter
from .input_normalization import adapt_inputs


def prepare_teacher(
    teacher: nn.Module,
    settings: dict,
    configured: dict | nn.Module | None,
    preprocessor: BaseDataPreprocessor,
    checkpoint: str | None,
    strict: bool = True,
    size: int | Sequence[int] | None = None,
    trained: bool = False,
) -> InputAdapter:
    """Load a teacher's weights, and give it the inputs that it was trained on.

    Args:
        teacher (nn.Module): The built teacher, which is changed in place.
        settings (dict): ``model.teacher`` of the config, empty if the teacher came built.
        configured (dict | nn.Module, optional): ``model.teacher.data_preprocessor``.
        preprocessor (BaseDataPreprocessor): The student's.
        checkpoint (str, optional): Path or URL; None if the weights are of its ``init_cfg``.
        strict (bool): Whether every key of the checkpoint must match. Defaults to True.
        size (int | Sequence[int], optional): Height and width that the teacher expects. Defaults to
            None, those of the student's images.
        trained (bool): Whether it is trained, too. Without weights it then learns what images it
            gets. Defaults to False.

    Returns:
        InputAdapter: What the teacher now does first, if there is anything to do.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If it does not fit, or no image can be normalised as it says.
    """
    pretrained = None
    if checkpoint:
        recorded = load_teacher(teacher, checkpoint, strict)
    else:
        recorded = initial_preprocessor(teacher)
        pretrained = expected_normalization(teacher, settings)
    if pretrained and configured is not None:
        own = build_preprocessor(configured)
        warn_of_other_normalization('model.teacher', teacher, settings, own)
    known = not trained or checkpoint is not None or any(True for _ in initial_checkpoints(teacher))
    return adapt_inputs(teacher, preprocessor, configured, recorded, size, pretrained, known)
