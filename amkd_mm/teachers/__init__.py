"""The frozen teacher: its folded copy, its inputs, its checkpoint, and whether it only guesses."""

from .chance_check import ChanceCheck
from .checkpoint import load_teacher
from .fast_teacher import FastTeacher
from .teacher_inputs import TeacherInputs

__all__ = ['ChanceCheck', 'FastTeacher', 'TeacherInputs', 'load_teacher']
