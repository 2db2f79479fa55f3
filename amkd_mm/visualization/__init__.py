"""Pictures of boundary samples and of training runs, and what they are computed from."""

from .accuracy_plot import draw_accuracies
from .boundary_panel import draw_boundary_panel
from .boundary_samples import distances, first_of_each_class, move_to_boundary
from .boundary_verdict import boundary_verdict
from .class_style import colour_classes, short_name
from .decision_regions import Plane, agreement, draw_decision_regions
from .distance_histogram import draw_distances
from .embedding_map import EmbeddingMap, draw_embedding_map
from .embeddings import embed
from .html_page import Picture, html_page, to_png
from .input_plane import InputPlane, PlaneRegions, plane_regions
from .principal_components import principal_components
from .rendering import draw_notice, render

__all__ = [
    'EmbeddingMap',
    'InputPlane',
    'Picture',
    'Plane',
    'PlaneRegions',
    'agreement',
    'boundary_verdict',
    'colour_classes',
    'distances',
    'draw_accuracies',
    'draw_boundary_panel',
    'draw_decision_regions',
    'draw_distances',
    'draw_embedding_map',
    'draw_notice',
    'embed',
    'first_of_each_class',
    'html_page',
    'move_to_boundary',
    'plane_regions',
    'principal_components',
    'render',
    'short_name',
    'to_png',
]
