"""Pictures of boundary samples and of training runs."""

from .accuracy_plot import draw_accuracies
from .boundary_panel import draw_boundary_panel

__all__ = ['draw_accuracies', 'draw_boundary_panel']
