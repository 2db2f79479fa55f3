"""The frozen teacher: its weights, its inputs, its folded copy, and whether it only guesses."""

from .chance_check import ChanceCheck
from .folded_teacher import FoldedTeacher
from .input_adapter import InputAdapter
from .input_normalization import configured_preprocessor
from .preparation import prepare_teacher

__all__ = [
    'ChanceCheck',
    'FoldedTeacher',
    'InputAdapter',
    'configured_preprocessor',
    'prepare_teacher',
]
