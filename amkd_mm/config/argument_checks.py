"""Checks of the arguments of registered classes: the right type, and the right range.

A config is read by people and by ``--cfg-options``, so that a switch may arrive as ``'False'``,
which counts as true. ``key`` names class and argument in each message.
"""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any


def check_bool(key: str, value: Any) -> None:
    """Raise ``TypeError`` unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f'{key} must be True or False, not {value!r}')


def check_int(key: str, value: Any, minimum: int = 0) -> None:
    """Raise ``TypeError`` unless ``value`` is an int, and ``ValueError`` if it is too small."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f'{key} must be an int >= {minimum}, not {value!r}')
    if value < minimum:
        raise ValueError(f'{key} must be >= {minimum}, not {value}')


def check_number(
    key: str, value: Any, minimum: float | None = None, above: float | None = None
) -> None:
    """Raise ``TypeError`` unless ``value`` is a number.

    Args:
        key (str): What it is called.
        value (Any): An int or float, no bool.
        minimum (float, optional): The smallest valid value.
        above (float, optional): The largest value that is too small.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is NaN, infinite or too small.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f'{key} must be a number, not {value!r}')
    if not math.isfinite(value):
        raise ValueError(f'{key} must be finite, not {value}')
    if minimum is not None and value < minimum:
        raise ValueError(f'{key} must be >= {minimum}, not {value}')
    if above is not None and value <= above:
        raise ValueError(f'{key} must be > {above}, not {value}')


def check_choice(key: str, value: Any, choices: Sequence[str]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of the choices."""
    if value not in choices:
        raise ValueError(f'{key} must be one of {tuple(choices)}, not {value!r}')


def check_kind(key: str, value: Any, kinds: type | tuple[type, ...], example: str) -> None:
    """Raise ``TypeError`` unless ``value`` is of one of the ``kinds``, such as the ``example``."""
    if not isinstance(value, kinds):
        raise TypeError(f'{key} must be such as {example}, not {value!r}')


def check_size(key: str, value: Any) -> tuple[int, int]:
    """Height and width of one int >= 1 for both or a pair of such.

    Raises:
        TypeError: If ``value`` is neither.
        ValueError: If it has another length, or a number is too small.
    """
    pair = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    if len(pair) != 2:
        raise ValueError(f'{key} must be an edge or (height, width), not {value!r}')
    for number in pair:
        check_int(key, number, minimum=1)
    return pair
