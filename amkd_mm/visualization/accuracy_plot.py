"""Accuracy over epochs, one line a run."""

import math
from collections.abc import Iterable

from matplotlib.figure import Figure

from .class_style import plain
from .colours import COLOURS

MARKERS = 'osD^vP'


def draw_accuracies(
    curves: dict[str, list[float]], reference: tuple[str, float] | None = None
) -> Figure:
    """Draw the validation accuracy of several runs, so that the last ones can be told apart.

    The axis shows the second half of the trainings in full; a curve may begin below it.

    Args:
        curves (dict[str, list[float]]): Name of a run to its accuracies in percent, one an epoch.
        reference (tuple[str, float], optional): Name and accuracy of a horizontal line, such as
            the teacher's.

    Returns:
        Figure: To be saved with ``savefig``.
    """
    figure = Figure(figsize=(7, 4.2), layout='constrained')
    axes = figure.subplots()
    for index, (name, values) in enumerate(curves.items()):
        style = dict(color=COLOURS[index % 6], marker=MARKERS[index % 6], markersize=4)
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, label=f'{plain(name)} ({values[-1]:.1f}%)', **style)
    if reference is not None:
        name, value = reference
        axes.axhline(value, color='black', linestyle='--', label=f'{plain(name)} ({value:.1f}%)')
    axes.set_ylim(*limits(curves.values(), [] if reference is None else [reference[1]]))
    axes.set_xlabel('epoch')
    axes.set_ylabel('validation accuracy (%), axis not from 0')
    axes.set_title('Accuracy by epoch (in brackets: last epoch)')
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(loc='lower right')
    return figure


def limits(curves: Iterable[list[float]], others: list[float]) -> tuple[float, float]:
    """Lowest and highest accuracy of the axis, in percent."""
    found = [value for values in curves for value in values[len(values) // 2 :]] + others
    found = [value for value in found if math.isfinite(value)] or [0.0, 100.0]
    margin = max(0.15 * (max(found) - min(found)), 0.5)
    # The legend is below the curves' ends.
    return max(min(found) - 3 * margin, 0.0), min(max(found) + margin, 101.0)
