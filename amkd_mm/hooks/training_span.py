"""Points in time of a training, given as a number or as a share."""

from mmengine.runner import IterBasedTrainLoop

Moment = int | float


def check_moment(name: str, value: Moment) -> Moment:
    """Return ``value`` if it is a moment, an int >= 0 or a float in [0, 1].

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


def resolve(value: Moment, total: int) -> float:
    """An int as it is, a float as that share of ``total``: a short run keeps its proportions."""
    # 0.55 of 100 epochs is 55.00000000000001, which epoch 55 would not have reached.
    return round(value * total, 6) if isinstance(value, float) else value


def require_epochs(runner, reason: str) -> None:
    """Raise ``ValueError`` with ``reason`` if the training counts iterations.

    MMEngine takes such a training for a single epoch, in which no epoch ever begins or ends.
    """
    if isinstance(runner.train_loop, IterBasedTrainLoop):
        raise ValueError(f'{reason}, but `train_cfg` has `by_epoch=False`')
