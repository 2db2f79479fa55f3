"""Base samples, perturbations and boundary samples side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .channels import as_colours
from .class_style import short_name
from .colours import COLOURS

HEIGHTS = dict(image=1.5, bars=0.9)
ROWS = ('image', 'bars', 'image', 'image', 'bars')
TITLE = "Samples moved to the teacher's decision boundary"


def draw_boundary_panel(
    images: np.ndarray,
    moved: np.ndarray,
    bases: Sequence[int],
    targets: Sequence[int],
    probabilities: Mapping[str, np.ndarray],
    moved_probabilities: Mapping[str, np.ndarray],
    class_names: Sequence[str] | None = None,
    reached: Sequence[bool] | None = None,
    title: str = TITLE,
) -> Figure:
    """Draw a column for each sample, and below its images the probabilities of three classes.

    They are those of the base class, of the target class, and of the other class that any of the
    networks takes for the most probable one.

    Args:
        images (ndarray): Base samples, (N, H, W, C), 0 to 255, N and C at least 1. What is shown
            of other than one (grey) or three channels (RGB), the title says.
        moved (ndarray): Boundary samples, likewise.
        bases (Sequence[int]): Base classes.
        targets (Sequence[int]): Target classes.
        probabilities (Mapping[str, ndarray]): Name of a network to its probabilities of the base
            samples, (N, K).
        moved_probabilities (Mapping[str, ndarray]): The same of the boundary samples.
        class_names (Sequence[str], optional): K names. Defaults to the class indices.
        reached (Sequence[bool], optional): Whether each boundary sample is in its target class;
            the picture says so of those that are not. Defaults to None, all are.
        title (str): Title of the figure.

    Returns:
        Figure: To be saved with ``savefig``.
    """
    images, moved = np.asarray(images, dtype=float), np.asarray(moved, dtype=float)
    difference = np.nan_to_num(moved - images, posinf=0, neginf=0)
    # One factor for all columns, so that they can be compared. Grey is no change.
    largest = np.abs(difference).max()
    gain = 127 / largest if largest > 1e-6 else 1
    lengths = np.linalg.norm(difference.reshape(len(images), -1), axis=1)
    (images, note), (moved, _), (difference, _) = map(as_colours, (images, moved, difference))
    number = len(images)
    heights = [HEIGHTS[row] for row in ROWS]
    # Room for the title and the legend also above a single column.
    width = max(1.9 * number + 0.7, 5.5)
    figure = Figure(figsize=(width, sum(heights) + 2.2), layout='constrained')
    axes = figure.subplots(len(ROWS), number, squeeze=False, height_ratios=heights)

    def name_of(c: int, length: int = 14) -> str:
        return str(c) if class_names is None else short_name(class_names[c], length)

    for column in range(number):
        classes = bases[column], targets[column]
        base, base_bars, perturbation, boundary, boundary_bars = axes[:, column]
        base.set_title(f'sample {column + 1}\n{change(*map(name_of, classes))}', fontsize=9)
        show(base, images[column])
        show(perturbation, 127 + gain * difference[column])
        show(boundary, moved[column])
        perturbation.set_xlabel(f'L2 = {lengths[column]:.0f}', fontsize=8)
        if reached is not None and not reached[column]:
            boundary.set_xlabel(f'not moved into {name_of(classes[1])}', fontsize=8)
        for axis, found in ((base_bars, probabilities), (boundary_bars, moved_probabilities)):
            rows = {name: np.asarray(found[name][column], dtype=float) for name in found}
            shown = [*classes, *strongest_other(list(rows.values()), classes)]
            values = {name: row[shown] for name, row in rows.items()}
            draw_bars(axis, values, [name_of(c, 8) for c in shown])

    for axis, name in zip(
        axes[:, 0],
        (
            'base sample',
            'probability',
            f'perturbation\n(x {gain:.1f}; L2 of\nvalues 0 to 255)',
            'boundary sample',
            'probability',
        ),
        strict=True,
    ):
        axis.set_ylabel(name, fontsize=9)
    figure.suptitle(f'{title}\n({note})' if note else title, fontsize=11)
    handles = axes[1, 0].containers
    classes_shown = 'the base class and the target class'
    if len(axes[1, 0].get_xticks()) > 2:
        classes_shown = 'the base class, the target class and the most probable other class'
    figure.legend(
        handles=handles,
        title=f'probability of {classes_shown}',
        title_fontsize=8,
        loc='outside lower center',
        ncols=len(handles),
        fontsize=9,
        frameon=False,
    )
    return figure


def change(base: str, target: str) -> str:
    """From which class to which, in one line if there is room."""
    if base.isdigit() and target.isdigit():
        return f'class {base} → {target}'
    joint = ' → ' if len(base) + len(target) < 18 else '\n→ '
    return f'{base}{joint}{target}'


def strongest_other(rows: Sequence[np.ndarray], classes: Sequence[int]) -> list[int]:
    """The class besides these two that a network, whose probabilities are a row, gives most.

    Returns:
        list[int]: One class; none if there are but two.
    """
    highest = np.nan_to_num(rows).max(axis=0)
    highest[list(classes)] = -1
    best = int(highest.argmax())
    return [best] if highest[best] >= 0 else []


def show(axis: Axes, picture: np.ndarray) -> None:
    """Show an image, (H, W, 3), 0 to 255, without ticks."""
    picture = np.nan_to_num(picture, posinf=255, neginf=0)
    axis.imshow(picture.clip(0, 255).round().astype(np.uint8), interpolation='nearest')
    axis.set_xticks([])
    axis.set_yticks([])


def draw_bars(axis: Axes, values: dict[str, np.ndarray], names: Sequence[str]) -> None:
    """Draw the probabilities of some classes, a colour a network."""
    places, width = np.arange(len(names)), 0.84 / len(values)
    for index, (network, probabilities) in enumerate(values.items()):
        offset = (index - (len(values) - 1) / 2) * width
        colour = COLOURS[index % len(COLOURS)]
        bars = axis.bar(places + offset, probabilities, width, color=colour, label=network)
        axis.bar_label(bars, fmt='%.2f', fontsize=6, padding=1)
    axis.set_xticks(places, names, fontsize=6.5)
    axis.set_xlim(-0.55, len(names) - 0.45)
    axis.set_ylim(0, 1.3)  # Room for the numbers
    axis.set_yticks([0, 0.5, 1])
    axis.tick_params(axis='y', labelsize=7)
    axis.spines[['top', 'right']].set_visible(False)
