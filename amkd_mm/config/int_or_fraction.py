"""Counts that a config gives as they are, an int, or as a fraction of a total, a float."""

IntOrFraction = int | float


def check_int_or_fraction(name: str, value: IntOrFraction) -> IntOrFraction:
    """Return ``value`` if it is an int >= 0 or a float in [0, 1].

    Raises:
        ValueError: If it is not; the message names ``name``.
    """
    is_share = isinstance(value, float)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f'{name} must be an int or a float, not {value!r}')
    # NaN fails every comparison.
    if not (0 <= value <= 1 if is_share else value >= 0):
        raise ValueError(
            f'{name} must be an int >= 0, or a float in [0, 1] for a share of the training, '
            f'not {value!r}'
        )
    return value


def to_absolute(value: IntOrFraction, total: int) -> float:
    """An int as it is, a float as that share of ``total``: a short run keeps its proportions."""
    # 0.55 of 100 epochs is 55.00000000000001, which epoch 55 would not have reached.
    return round(value * total, 6) if isinstance(value, float) else value
