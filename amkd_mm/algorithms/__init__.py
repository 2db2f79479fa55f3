"""Distillation algorithms."""

from .amkd import AMKD

__all__ = ['AMKD']
