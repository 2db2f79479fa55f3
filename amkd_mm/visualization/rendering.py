"""Figures as images, without a screen."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def render(figure: Figure, dpi: int = 100) -> np.ndarray:
    """Draw a figure; needs no screen and leaves pyplot alone.

    Returns:
        ndarray: RGB, uint8, (H, W, 3).
    """
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def draw_notice(title: str, text: str) -> Figure:
    """A picture that says why there is none."""
    figure = Figure(figsize=(5.5, 1.5), layout='constrained')
    figure.suptitle(title, fontsize=11)
    figure.text(0.5, 0.4, text, ha='center', va='center', fontsize=10)
    return figure
