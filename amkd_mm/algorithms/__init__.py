"""Distillation algorithms."""

from .amkd import AMKD
from .checked_single_teacher_distill import CheckedSingleTeacherDistill

__all__ = ['AMKD', 'CheckedSingleTeacherDistill']
