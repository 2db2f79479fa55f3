"""Pictures of boundary samples and of training runs."""

from .accuracy_plot import draw_accuracies
from .boundary_panel import draw_boundary_panel
from .rendering import draw_notice, render

__all__ = ['draw_accuracies', 'draw_boundary_panel', 'draw_notice', 'render']
