"""The pictures of a student's decision boundary beside its teacher's, and how to read them."""

from collections.abc import Sequence
from pathlib import Path

from ..analysis.boundary_planes import BoundaryPlane
from ..analysis.boundary_samples import UNIT
from ..analysis.boundary_study import BoundaryStudy
from .boundary_panel import draw_boundary_panel
from .class_style import short_name
from .decision_regions import Plane, draw_decision_regions
from .distance_histogram import draw_distances
from .embedding_map import draw_embedding_map
from .html_page import NamedFigure

PANEL_TEXT = (
    "Each column is a validation image. Top: the image, with the networks' probabilities of its "
    'class, of the class that it is moved towards, and of the most probable other class. Middle: '
    'what is added, amplified, grey where nothing is. Bottom: the boundary sample. For the teacher '
    'its first two probabilities should be about equal; how far apart they are for the student '
    "says how well it knows the teacher's boundary there."
)
PLANE_TEXT = (
    'Each square is a plane through three images, the white symbols, and its colours are the '
    'classes that a network decides for. Lengths are L2 distances between images. The columns '
    "show the same plane: the more alike a student's colours and the teacher's are, the better it "
    'has learnt the boundaries there; the percentage is the share of the square that they agree '
    'on. Far from the symbols there are no valid images any more, as values leave the range of '
    'pixels. The pictures around other samples are read in the same way.'
)
MAP_TEXT = (
    'What the layer that makes the class scores gets, in two dimensions (principal components, '
    'for each network its own; the axes say how much they show of it). Dots are clean images, '
    "crosses the teacher's boundary samples, and a grey line joins an image with its own. In the "
    'map of the teacher the crosses lie between groups of dots; so they do in that of a student '
    'that knows the same boundaries.'
)
DISTANCE_TEXT = (
    "How far the attack had to move an image to the network's own boundary: images that both "
    'networks get right, with the same target classes. An attack does not find the nearest '
    'point, so that these are upper bounds. A histogram further to the right belongs to a network '
    'that takes larger changes before it changes its mind.'
)


def draw_boundary_figures(study: BoundaryStudy) -> list[NamedFigure]:
    """Draw all of a study: samples, planes, embeddings and distances."""
    names = study.class_names
    sample = study.samples
    panel = draw_boundary_panel(
        sample.images,
        sample.moved,
        sample.labels,
        sample.targets,
        sample.probabilities,
        sample.moved_probabilities,
        names,
        sample.reached,
    )
    figures = [NamedFigure('boundary_samples', 'Boundary samples', panel, PANEL_TEXT)]
    for number, found in study.planes.items():
        title = f'Decision regions around sample {number}'
        planes = [name_plane(plane, names) for plane in found]
        figure = draw_decision_regions(planes, names, UNIT, title)
        # One says how all are read.
        text = PLANE_TEXT if len(figures) == 1 else ''
        figures.append(NamedFigure(f'decision_regions_{number}', title, figure, text))
    embeddings = draw_embedding_map(study.maps, study.labels, study.rows, names)
    figures.append(NamedFigure('embeddings', 'Embeddings', embeddings, MAP_TEXT))
    lengths = {name: found.numpy() for name, found in study.distances.items()}
    histogram = draw_distances(lengths, UNIT)
    return [*figures, NamedFigure('distances', 'Distances', histogram, DISTANCE_TEXT)]


def name_plane(plane: BoundaryPlane, class_names: Sequence[str]) -> Plane:
    """A plane with names of what it goes through."""
    base, *others = (short_name(class_names[c]) for c in plane.classes)
    points = [f'base sample, class {base}']
    if len(plane.owners) == 1:
        name = f"plane through the\n{plane.owners[0]}'s boundary samples"
        points += [f'boundary sample towards {other}' for other in others]
    else:
        name = "plane through both\nnetworks' boundary samples"
        points += [f"the {owner}'s boundary sample" for owner in plane.owners]
    return Plane(name, plane.regions, plane.classes, points)


def compared_name(files: Sequence[str], compared_files: Sequence[str]) -> str:
    """What tells another student from the own one in a picture: where the names of files differ.

    Args:
        files (Sequence[str]): Config and checkpoint of the own one.
        compared_files (Sequence[str]): Those of the other.
    """
    for ours, other in zip(files, compared_files, strict=True):
        ours, other = Path(ours).stem.split('_'), Path(other).stem.split('_')
        if ours != other:
            own = '_'.join(word for word in other if word not in ours)
            # The number of an epoch says nothing alone.
            own = '_'.join(other) if own.isdigit() else own or '_'.join(other)
            return f'compared student ({short_name(own, 24)})'
    return 'compared student'
