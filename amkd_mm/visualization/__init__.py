"""Pictures of boundary samples and of training runs."""

from .accuracy_plot import draw_accuracies
from .boundary_figures import compared_name, draw_boundary_figures
from .boundary_panel import draw_boundary_panel
from .class_style import colour_classes, short_name
from .decision_regions import Plane, agreement, draw_decision_regions
from .distance_histogram import draw_distances
from .embedding_map import draw_embedding_map
from .html_page import NamedFigure, Picture, check_page_folder, html_page, save_page, to_png
from .rendering import draw_notice, render

__all__ = [
    'NamedFigure',
    'Picture',
    'Plane',
    'agreement',
    'check_page_folder',
    'colour_classes',
    'compared_name',
    'draw_accuracies',
    'draw_boundary_figures',
    'draw_boundary_panel',
    'draw_decision_regions',
    'draw_distances',
    'draw_embedding_map',
    'draw_notice',
    'html_page',
    'render',
    'save_page',
    'short_name',
    'to_png',
]
