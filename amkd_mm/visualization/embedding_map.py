"""Embeddings of clean and boundary samples as two networks see them."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from ..analysis.embeddings import EmbeddingMap
from .class_style import CLASS_COLOURS, OTHER, OTHER_COLOUR, colour_classes, short_name


def draw_embedding_map(
    maps: dict[str, EmbeddingMap],
    labels: Sequence[int],
    rows: Sequence[int],
    class_names: Sequence[str],
) -> Figure:
    """Draw a panel for each network.

    Args:
        maps (dict[str, EmbeddingMap]): Name of a network to what it makes of the samples.
        labels (Sequence[int]): Classes of the clean samples, N.
        rows (Sequence[int]): The clean sample that each boundary sample was made from, M.
        class_names (Sequence[str]): K names.

    Returns:
        Figure: To be saved with ``savefig``.
    """
    labels, rows = np.asarray(labels), np.asarray(rows, dtype=int)
    # Where there are more classes than colours, the most frequent.
    order = [c for c, _ in Counter(labels.tolist()).most_common()]
    colours = colour_classes(sorted(order[: len(CLASS_COLOURS)]) + order)
    own = [c for c in colours if colours[c] != OTHER_COLOUR]
    figure = Figure(figsize=(5.6 * len(maps), 6.6), layout='constrained')
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, (name, found) in zip(panels, maps.items(), strict=True):
        ways = np.stack([found.clean[rows], found.moved], 1)
        axes.add_collection(LineCollection(ways, colors='0.6', linewidths=0.4, alpha=0.6))
        tint = [colours[int(c)] for c in labels]
        axes.scatter(*found.clean.T, c=tint, s=16, edgecolors='black', linewidths=0.2)
        axes.scatter(*found.moved.T, c=[tint[r] for r in rows], marker='x', s=26, linewidths=1.3)
        for c in own:
            middle = np.median(found.clean[labels == c], axis=0)
            text = axes.text(*middle, short_name(class_names[c]), fontsize=9, weight='bold')
            text.set(ha='center', va='center')
            text.set_path_effects([withStroke(linewidth=3, foreground='white')])
        axes.set_title(name)
        axes.set_xlabel(f'principal component 1 ({found.shares[0]:.0%} of the variance)')
        axes.set_ylabel(f'principal component 2 ({found.shares[1]:.0%} of the variance)')
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    entries = [(colours[c], short_name(class_names[c], 24)) for c in own]
    if len(own) < len(colours):
        entries.append((OTHER_COLOUR, OTHER))
    entries.append(('0.4', 'clean sample'))
    dot = dict(linestyle='', marker='o', markeredgecolor='black', markeredgewidth=0.2)
    handles = [Line2D([], [], color=colour, label=label, **dot) for colour, label in entries]
    cross = dict(color='0.6', marker='x', markeredgecolor='0.2', label='its boundary sample')
    handles.append(Line2D([], [], **cross))
    figure.legend(handles=handles, loc='outside lower center', ncols=6, fontsize=9)
    figure.suptitle("Embeddings of clean samples and of the teacher's boundary samples")
    return figure
