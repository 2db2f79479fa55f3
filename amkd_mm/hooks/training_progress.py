"""How far a training is, in epochs or iterations."""

from mmengine.runner import IterBasedTrainLoop

from ..config.int_or_fraction import IntOrFraction


def progress_and_total(runner, by_epoch: bool) -> tuple[int, int]:
    """Where the training is and how long it is, in epochs or iterations.

    MMEngine takes a training by iterations for a single epoch, so that such a training has
    iterations whatever ``by_epoch``: shares mean the same in both.
    """
    if by_epoch and not isinstance(runner.train_loop, IterBasedTrainLoop):
        return runner.epoch, runner.max_epochs
    return runner.iter, runner.max_iters


def check_unit(name: str, runner, by_epoch: bool, **moments: IntOrFraction) -> None:
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
