"""Recorders of classifiers' outputs, and of several modules at once."""

from .classifier_recorders import (
    ClassifierRecorder,
    EmbeddingRecorder,
    LabelsRecorder,
    LogitsRecorder,
    TargetsRecorder,
)
from .sources import sources_of
from .stages_recorder import StagesRecorder

__all__ = [
    'ClassifierRecorder',
    'EmbeddingRecorder',
    'LabelsRecorder',
    'LogitsRecorder',
    'StagesRecorder',
    'TargetsRecorder',
    'sources_of',
]
