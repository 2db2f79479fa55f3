"""Classifiers: what all of them have, and those of torchvision."""

from .outputs import (
    Outputs,
    class_layers,
    embedding_width,
    find_outputs,
    num_classes,
    predict_logits,
    to_embedding,
    to_logits,
)
from .pretrained_inputs import expected_normalization, warn_of_other_normalization
from .torchvision_classifier import TorchVisionClassifier

__all__ = [
    'Outputs',
    'TorchVisionClassifier',
    'class_layers',
    'embedding_width',
    'expected_normalization',
    'find_outputs',
    'num_classes',
    'predict_logits',
    'to_embedding',
    'to_logits',
    'warn_of_other_normalization',
]
