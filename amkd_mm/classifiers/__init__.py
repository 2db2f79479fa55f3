"""Classifiers: what all of them have, and those of torchvision."""

from .outputs import (
    Outputs,
    class_layers,
    embedding_width,
    find_outputs,
    num_classes,
    to_embedding,
    to_logits,
)
from .torchvision_classifier import TorchVisionClassifier

__all__ = [
    'Outputs',
    'TorchVisionClassifier',
    'class_layers',
    'embedding_width',
    'find_outputs',
    'num_classes',
    'to_embedding',
    'to_logits',
]
