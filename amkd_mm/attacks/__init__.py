"""Finding boundary samples: tensor code over a callable model."""

from .base import AttackResult, BoundaryAttack
from .boundary_search import BoundarySearch
from .bss_attack import BSSAttack
from .building import attack_names, build_attack

__all__ = [
    'AttackResult',
    'BSSAttack',
    'BoundaryAttack',
    'BoundarySearch',
    'attack_names',
    'build_attack',
]
