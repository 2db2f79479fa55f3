"""The numbers behind pictures: planes, embeddings, components, distances to a boundary."""

from .boundary_facts import boundary_facts, boundary_notes
from .boundary_planes import BoundaryPlane, boundary_planes
from .boundary_samples import UNIT, Mover, distances, first_of_each_class, move_to_boundary
from .boundary_study import (
    STUDENT,
    TEACHER,
    BoundaryStudy,
    ComparedStudent,
    ShownSamples,
    study_boundary,
)
from .boundary_verdict import boundary_verdict
from .embeddings import EmbeddingMap, embed, map_embeddings
from .input_plane import InputPlane, PlaneRegions, plane_regions
from .principal_components import principal_components
from .validation_images import ValidationImages, draw_validation_images

__all__ = [
    'STUDENT',
    'TEACHER',
    'UNIT',
    'BoundaryPlane',
    'BoundaryStudy',
    'ComparedStudent',
    'EmbeddingMap',
    'InputPlane',
    'Mover',
    'PlaneRegions',
    'ShownSamples',
    'ValidationImages',
    'boundary_facts',
    'boundary_notes',
    'boundary_planes',
    'boundary_verdict',
    'distances',
    'draw_validation_images',
    'embed',
    'first_of_each_class',
    'map_embeddings',
    'move_to_boundary',
    'plane_regions',
    'principal_components',
    'study_boundary',
]
