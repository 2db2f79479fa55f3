"""The decision regions of networks in planes through images."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..analysis.input_plane import PlaneRegions
from .class_style import OTHER, OTHER_COLOUR, colour_classes, plain, short_name

# Of the three images.
MARKERS = 'o*^'
SIZES = (8, 14, 9)
# Over the colours, so that points and lines are seen.
PALE = 0.6


class Plane(NamedTuple):
    """A row of the picture.

    Attributes:
        name (str): What the plane goes through.
        regions (PlaneRegions): What the networks decide.
        classes (Sequence[int]): The classes that the picture is about.
        points (Sequence[str]): Names of the three images.
    """

    name: str
    regions: PlaneRegions
    classes: Sequence[int]
    points: Sequence[str]


def agreement(classes: np.ndarray, others: np.ndarray) -> float:
    """Share of the points at which two networks decide for the same class."""
    return float((classes == others).mean())


def draw_decision_regions(
    planes: Sequence[Plane], class_names: Sequence[str], unit: str = '', title: str = ''
) -> Figure:
    """Draw a row for each plane and a column for each network.

    Args:
        planes (Sequence[Plane]): At least one; all with the same networks, of which the first is
            the one that the others are compared with, and with the same names of points.
        class_names (Sequence[str]): K names.
        unit (str): Of the axes. Defaults to ''.
        title (str): Defaults to ''.

    Returns:
        Figure: To be saved with ``savefig``.
    """
    names = list(planes[0].regions.classes)
    # The same colours for base and target classes in all pictures, then the largest areas.
    areas = Counter()
    for plane in planes:
        for found in plane.regions.classes.values():
            areas.update(dict(zip(*np.unique(found, return_counts=True), strict=True)))
    important = [c for plane in planes for c in plane.classes]
    important += [c for c, _ in areas.most_common()]
    colours = colour_classes(map(int, important))

    size = 3.2 * len(names) + 0.5, 3.4 * len(planes) + 1.2
    figure = Figure(figsize=size, layout='constrained')
    grid = figure.subplots(len(planes), len(names), squeeze=False)
    for row, plane in zip(grid, planes, strict=True):
        reference = plane.regions.classes[names[0]]
        for axes, name in zip(row, names, strict=True):
            found = plane.regions.classes[name]
            text = plain(name)
            if name != names[0]:
                share = agreement(found, reference)
                text += f'\nagrees with the {plain(names[0])} on {share:.0%} of it'
            draw_plane(axes, plane, found, colours)
            axes.set_title(text, fontsize=10)
            axes.set_xlabel(unit, fontsize=9)
        row[0].set_ylabel(f'{plane.name}\n{unit}', fontsize=9)
    figure.legend(
        handles=[*class_handles(areas, colours, class_names), *point_handles(planes[0].points)],
        loc='outside lower center',
        ncols=max(2, len(names)),
        fontsize=9,
    )
    figure.suptitle(title, fontsize=11)
    return figure


def draw_plane(axes, plane: Plane, found: np.ndarray, colours: dict[int, str]) -> None:
    """One network's regions, a thin line between them, and the three images."""
    xs, ys, points, _ = plane.regions
    classes, numbers = np.unique(found, return_inverse=True)
    numbers = numbers.reshape(found.shape)
    cmap = ListedColormap([colours[int(c)] for c in classes])
    half = (xs[1] - xs[0]) / 2
    extent = (xs[0] - half, xs[-1] + half, ys[0] - half, ys[-1] + half)
    style = dict(origin='lower', extent=extent, interpolation='nearest')
    axes.imshow(numbers, cmap=cmap, vmin=-0.5, vmax=len(classes) - 0.5, alpha=PALE, **style)
    # Between any two classes, also two whose colours are alike.
    for number in range(len(classes) - 1):
        member = (numbers == number).astype(float)
        axes.contour(xs, ys, member, levels=[0.5], colors='black', linewidths=0.7)
    for point, marker, width in zip(points, MARKERS, SIZES, strict=True):
        axes.plot(*point, marker, color='white', markeredgecolor='black', markersize=width)


def class_handles(areas: Counter, colours: dict[int, str], class_names: Sequence[str]) -> list:
    """A patch for each class with a colour of its own that occurs, and one for all others."""
    shown = [c for c in colours if areas[c] and colours[c] != OTHER_COLOUR]
    pairs = [(colours[c], short_name(class_names[c], 24)) for c in shown]
    if any(areas[c] and colours[c] == OTHER_COLOUR for c in colours):
        pairs.append((OTHER_COLOUR, OTHER))
    return [Patch(facecolor=c, alpha=PALE, edgecolor='black', label=name) for c, name in pairs]


def point_handles(names: Sequence[str]) -> list[Line2D]:
    """A marker for each of the three images."""
    style = dict(linestyle='', color='white', markeredgecolor='black')
    return [
        Line2D([], [], marker=marker, markersize=size, label=name, **style)
        for marker, size, name in zip(MARKERS, SIZES, names, strict=True)
    ]
