"""Base samples, perturbations and boundary samples side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .class_style import short_name

ROWS = ('base sample', 'perturbation', 'boundary sample')


def caption(
    probabilities: dict[str, np.ndarray], classes: Sequence[int], class_names: Sequence[str]
) -> str:
    """The probabilities of some classes: a line each, and a column for each network."""
    names = [f'p({short_name(class_names[c])})' for c in classes]
    width, number = max(map(len, names)), max(5, *map(len, probabilities))
    lines = [' ' * width + ''.join(f' {name:>{number}}' for name in probabilities)]
    for name, c in zip(names, classes, strict=True):
        values = (f' {values[c]:{number}.3f}' for values in probabilities.values())
        lines.append(f'{name:{width}}' + ''.join(values))
    return '\n'.join(lines)


def draw_boundary_panel(
    images: np.ndarray,
    moved: np.ndarray,
    bases: Sequence[int],
    targets: Sequence[int],
    probabilities: dict[str, np.ndarray],
    moved_probabilities: dict[str, np.ndarray],
    class_names: Sequence[str] | None = None,
    reached: Sequence[bool] | None = None,
) -> Figure:
    """Draw a column for each sample.

    Args:
        images (ndarray): Base samples, RGB, (N, H, W, 3), 0 to 255, N at least 1.
        moved (ndarray): Boundary samples, likewise.
        bases (Sequence[int]): Base classes.
        targets (Sequence[int]): Target classes.
        probabilities (dict[str, ndarray]): Name of a network to its probabilities on the base
            samples, (N, K). The first is the one whose boundary it is.
        moved_probabilities (dict[str, ndarray]): The same on the boundary samples.
        class_names (Sequence[str], optional): K names. Defaults to the class indices.
        reached (Sequence[bool], optional): Whether each boundary sample is in its target class;
            the picture says so of those that are not. Defaults to None, all are.

    Returns:
        Figure: To be saved with ``savefig``.
    """
    attacked = next(iter(probabilities))
    if class_names is None:
        class_names = [str(c) for c in range(probabilities[attacked].shape[1])]
    images, moved = np.asarray(images, dtype=float), np.asarray(moved, dtype=float)
    difference = moved - images
    # One factor for all columns, so that they can be compared. Grey is no change.
    gain = 127 / max(np.abs(difference).max(), 1e-6)
    number = len(images)
    width = 1.3 + 0.5 * len(probabilities)
    figure = Figure(figsize=(width * number + 0.6, 7.2), layout='constrained')
    axes = figure.subplots(len(ROWS), number, squeeze=False)
    for column in range(number):
        pictures = (images[column], 127 + gain * difference[column], moved[column])
        length = np.linalg.norm(difference[column])
        classes = bases[column], targets[column]
        before, after = (
            caption({name: p[column] for name, p in found.items()}, classes, class_names)
            for found in (probabilities, moved_probabilities)
        )
        if reached is not None and not reached[column]:
            after += f'\nnot moved into {short_name(class_names[classes[1]])}'
        captions = (before, f'L2 = {length:.0f}\n(values 0 to 255)', after)
        axes[0, column].set_title(f'sample {column + 1}', fontsize=10)
        for row, (picture, text) in enumerate(zip(pictures, captions, strict=True)):
            axis = axes[row, column]
            axis.imshow(picture.clip(0, 255).round().astype(np.uint8), interpolation='nearest')
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel(text, fontsize=8, family='monospace')
            if column == 0:
                name = f'{ROWS[row]}\n(x {gain:.1f})' if row == 1 else ROWS[row]
                axis.set_ylabel(name, fontsize=10)
    figure.suptitle(f"Samples moved to the {attacked}'s decision boundary; probabilities below")
    return figure
