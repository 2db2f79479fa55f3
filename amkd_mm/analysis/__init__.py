"""The numbers behind pictures: planes, embeddings, components, distances to a boundary."""

from .boundary_samples import distances, first_of_each_class, move_to_boundary
from .boundary_verdict import boundary_verdict
from .embeddings import embed
from .input_plane import InputPlane, PlaneRegions, plane_regions
from .principal_components import principal_components

__all__ = [
    'InputPlane',
    'PlaneRegions',
    'boundary_verdict',
    'distances',
    'embed',
    'first_of_each_class',
    'move_to_boundary',
    'plane_regions',
    'principal_components',
]
