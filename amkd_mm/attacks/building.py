"""Attacks by the name they are registered under."""

from mmrazor.registry import TASK_UTILS

from ..config.argument_checks import check_kind
from .base import BoundaryAttack


def attack_names() -> list[str]:
    """Names of all registered boundary attacks."""
    kinds = TASK_UTILS.module_dict.items()
    return [n for n, k in kinds if isinstance(k, type) and issubclass(k, BoundaryAttack)]


def build_attack(attack: dict) -> BoundaryAttack:
    """Build an attack from its config.

    Raises:
        TypeError: If it is no dict.
        KeyError: If no such attack is registered; the message lists those that are.
    """
    check_kind('attack', attack, dict, "dict(type='BoundarySearch')")
    names, kind = attack_names(), attack.get('type')
    if isinstance(kind, str) and kind.rpartition('.')[2] not in names:
        raise KeyError(f'attack.type: {kind!r} is not an attack; registered are {names}')
    # A config's default scope is usually MMPretrain's, which has no attacks.
    return TASK_UTILS.build({'_scope_': 'mmrazor', **attack})
