"""How far samples are from the decision boundary of each network."""

import numpy as np
from matplotlib.figure import Figure

from .class_style import plain
from .colours import COLOURS

BINS = 30


def draw_distances(distances: dict[str, np.ndarray], unit: str = '') -> Figure:
    """Draw a histogram for each network, over the same bins, with its median.

    Args:
        distances (dict[str, ndarray]): Name of a network to the distances of its samples, each of
            any length.
        unit (str): Of the distances. Defaults to ''.

    Returns:
        Figure: To be saved with ``savefig``. It says so where there are no distances.
    """
    figure = Figure(figsize=(8, 4.6), layout='constrained')
    axes = figure.subplots()
    every = np.concatenate([np.asarray(values, dtype=float) for values in distances.values()])
    if len(every):
        bins = np.linspace(0, every.max() or 1, BINS + 1)
        for index, (name, values) in enumerate(distances.items()):
            colour, line = COLOURS[index % len(COLOURS)], '-' if index % 2 == 0 else '--'
            if not len(values):
                axes.plot([], [], color=colour, linestyle=line, label=f'{plain(name)}: no sample')
                continue
            median = float(np.median(values))
            label = f'{plain(name)}: {len(values)} samples, median {median:.3g}'
            style = dict(color=colour, linestyle=line, label=label)
            axes.hist(values, bins, histtype='stepfilled', color=colour, alpha=0.25)
            axes.hist(values, bins, histtype='step', linewidth=1.6, **style)
            axes.axvline(median, color=colour, linestyle=line, linewidth=1.2)
        axes.legend()
        axes.set_xlim(0, bins[-1])
    else:
        text = 'No sample: none was moved to a boundary.'
        axes.text(0.5, 0.5, text, ha='center', va='center', transform=axes.transAxes)
    axes.set_xlabel(f'distance to the boundary, {unit}' if unit else 'distance to the boundary')
    axes.set_ylabel('number of samples')
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_title('Distance to the decision boundary (vertical lines: medians)')
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    return figure
