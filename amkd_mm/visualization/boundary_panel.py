"""Base samples, perturbations and boundary samples side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

ROWS = ('base sample', 'perturbation', 'boundary sample')


def caption(
    probabilities: np.ndarray, base: int, target: int, class_names: Sequence[str] | None
) -> str:
    """The probabilities of base and target class, a line each."""
    names = class_names if class_names is not None else [str(i) for i in range(len(probabilities))]
    return '\n'.join(f'p({names[i]}) = {probabilities[i]:.3f}' for i in (base, target))


def draw_boundary_panel(
    images: np.ndarray,
    moved: np.ndarray,
    bases: Sequence[int],
    targets: Sequence[int],
    probabilities: np.ndarray,
    moved_probabilities: np.ndarray,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw a column for each sample.

    Args:
        images (ndarray): Base samples, RGB, (N, H, W, 3), 0 to 255, N at least 1.
        moved (ndarray): Boundary samples, likewise.
        bases (Sequence[int]): Base classes.
        targets (Sequence[int]): Target classes.
        probabilities (ndarray): The teacher's on the base samples, (N, K).
        moved_probabilities (ndarray): The teacher's on the boundary samples, (N, K).
        class_names (Sequence[str], optional): K names. Defaults to the class indices.

    Returns:
        Figure: To be saved with ``savefig``.
    """
    images, moved = np.asarray(images, dtype=float), np.asarray(moved, dtype=float)
    difference = moved - images
    # One factor for all columns, so that they can be compared. Grey is no change.
    gain = 127 / max(np.abs(difference).max(), 1e-6)
    number = len(images)
    figure = Figure(figsize=(1.7 * number + 0.6, 6.6), layout='constrained')
    axes = figure.subplots(len(ROWS), number, squeeze=False)
    for column in range(number):
        pictures = (images[column], 127 + gain * difference[column], moved[column])
        length = np.linalg.norm(difference[column])
        captions = (
            caption(probabilities[column], bases[column], targets[column], class_names),
            f'L2 = {length:.0f}\n(values 0 to 255)',
            caption(moved_probabilities[column], bases[column], targets[column], class_names),
        )
        for row, (picture, text) in enumerate(zip(pictures, captions, strict=True)):
            axis = axes[row, column]
            axis.imshow(picture.clip(0, 255).round().astype(np.uint8), interpolation='nearest')
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel(text, fontsize=9)
            if column == 0:
                name = f'{ROWS[row]}\n(x {gain:.1f})' if row == 1 else ROWS[row]
                axis.set_ylabel(name, fontsize=10)
    figure.suptitle("Samples moved to the teacher's decision boundary; its probabilities below")
    return figure
