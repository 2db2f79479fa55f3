"""Where a recorder looks into a model."""

from mmrazor.models.task_modules.recorder import ModuleOutputsRecorder, ParameterRecorder
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder

from .classifier_recorders import ClassifierRecorder


def sources_of(recorder: BaseRecorder) -> tuple[str, ...] | None:
    """Names of the modules whose calls a recorder sees.

    Returns:
        tuple[str, ...] | None: None for functions and methods, which may run anywhere.
    """
    if isinstance(recorder, ClassifierRecorder):
        return recorder.sources
    if isinstance(recorder, ModuleOutputsRecorder):  # ModuleInputs is one, too.
        return (recorder.source,)
    return () if isinstance(recorder, ParameterRecorder) else None
