"""Recorders of classifiers' outputs, and of several modules at once."""

from .classifier_recorders import (
    ClassifierRecorder,
    EmbeddingRecorder,
    LabelsRecorder,
    LogitsRecorder,
    TargetClassesRecorder,
)
from .passes import record_known, record_nothing, recording
from .sources import sources_of
from .stages_recorder import StagesRecorder

__all__ = [
    'ClassifierRecorder',
    'EmbeddingRecorder',
    'LabelsRecorder',
    'LogitsRecorder',
    'StagesRecorder',
    'TargetClassesRecorder',
    'record_known',
    'record_nothing',
    'recording',
    'sources_of',
]
