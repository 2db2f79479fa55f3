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


def now_and_total(runner, by_epoch: bool) -> tuple[int, int]:
    """Where the training is and how long it is, in epochs or iterations.

    MMEngine takes a training by iterations for a single epoch, so that such a training has
    iterations whatever ``by_epoch``: shares mean the same in both.
    """
    if by_epoch and not isinstance(runner.train_loop, IterBasedTrainLoop):
        return runner.epoch, runner.max_epochs
    return runner.iter, runner.max_iters


def check_unit(name: str, runner, by_epoch: bool, **moments: Moment) -> None:
    """Check that a training has the epochs that some moments count.

    Args:
        name (str): Of the hook, for messages.
        runner (Runner): Its training.
        by_epoch (bool): Whether ints count epochs.
        **moments (int | float): By the name of their argument.

    Raises:
        ValueError: If they count epochs of a training by iterations. Shares and 0 are the same in
            both.
    """
    if not by_epoch or not isinstance(runner.train_loop, IterBasedTrainLoop):
        return
    for key, value in moments.items():
        if isinstance(value, int) and value:
            raise ValueError(
                f'{name}: {key}={value} counts epochs, but `train_cfg` has `by_epoch=False`: '
                'count iterations and set `by_epoch=False` in the hook too, or give a float as a '
                'share of the training where it takes one'
            )
