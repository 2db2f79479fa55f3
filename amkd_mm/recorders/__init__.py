"""Recorders that find what they record by themselves."""

from .classifier_recorders import (
    ClassifierRecorder,
    EmbeddingRecorder,
    LabelsRecorder,
    LogitsRecorder,
)

__all__ = ['ClassifierRecorder', 'EmbeddingRecorder', 'LabelsRecorder', 'LogitsRecorder']
