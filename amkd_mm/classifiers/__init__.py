"""Classifiers: what all of them have, those of torchvision, and several as one."""

from .outputs import (
    Outputs,
    class_count_key,
    class_layers,
    embedding_width,
    find_outputs,
    num_classes,
    predict_logits,
    to_embedding,
    to_logits,
)
from .pretrained_inputs import expected_normalization, warn_of_other_normalization
from .teacher_ensemble import TeacherEnsemble, members_of
from .torchvision_classifier import TorchVisionClassifier

__all__ = [
    'Outputs',
    'TeacherEnsemble',
    'TorchVisionClassifier',
    'class_count_key',
    'class_layers',
    'embedding_width',
    'expected_normalization',
    'find_outputs',
    'members_of',
    'num_classes',
    'predict_logits',
    'to_embedding',
    'to_logits',
    'warn_of_other_normalization',
]
