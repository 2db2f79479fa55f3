"""The frozen teacher, or several: weights, inputs, folded copy, and whether it only guesses."""

from .chance_check import ChanceCheck
from .folded_teacher import FoldedTeacher, fold_teacher
from .input_adapter import InputAdapter
from .keys import TeacherKeys
from .preparation import prepare_teachers
from .settings import TeacherSettings, read_teachers

__all__ = [
    'ChanceCheck',
    'FoldedTeacher',
    'InputAdapter',
    'TeacherKeys',
    'TeacherSettings',
    'fold_teacher',
    'prepare_teachers',
    'read_teachers',
]
