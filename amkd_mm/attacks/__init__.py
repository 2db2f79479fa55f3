"""Finding boundary samples: tensor code over a callable model."""

from .base import AttackResult, BoundaryAttack
from .boundary_search import BoundarySearch
from .bss_attack import BSSAttack

__all__ = ['AttackResult', 'BSSAttack', 'BoundaryAttack', 'BoundarySearch']
