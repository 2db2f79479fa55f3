"""The picture of decision regions shows the regions it was given."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from amkd_mm.analysis import PlaneRegions
from amkd_mm.visualization import Plane, agreement, draw_decision_regions
from amkd_mm.visualization.class_style import OTHER_COLOUR

XS, YS = np.arange(4.0), 10 + np.arange(4.0)
POINTS = np.array([[0.0, 10.0], [2.0, 10.0], [1.0, 12.0]])


def plane(teacher, student, classes=(2, 0, 1), name='a plane'):
    points = ('base', 'one', 'two')
    found = dict(teacher=np.array(teacher), student=np.array(student))
    return Plane(name, PlaneRegions(XS, YS, POINTS, found), classes, points)


def shown_colours(axes):
    """What colour each point has, (G, G, 3), the first row at the lowest y."""
    image = axes.images[0]
    return image.to_rgba(image.get_array())[..., :3]


def test_shows_regions_points_and_names(tmp_path):
    teacher = [[2, 2, 0, 0], [2, 2, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    student = [[2, 2, 0, 0], [2, 2, 0, 0], [2, 2, 2, 2], [1, 1, 1, 1]]
    names = ('cat', 'dog', 'frog')
    figure = draw_decision_regions([plane(teacher, student)], names, 'L2', 'A title')
    figure.savefig(tmp_path / 'regions.png')  # Needs no screen.

    left, right = figure.axes
    legend = figure.legends[0]
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ['frog', 'cat', 'dog', 'base', 'one', 'two']
    tints = [patch.get_facecolor()[:3] for patch in legend.get_patches()]
    colour = dict(zip((2, 0, 1), tints, strict=True))
    for axes, regions in ((left, teacher), (right, student)):
        expected = [[colour[c] for c in row] for row in regions]
        np.testing.assert_allclose(shown_colours(axes), expected)
        assert axes.images[0].origin == 'lower'
        # Points are in the middle of their pixels.
        assert axes.images[0].get_extent() == [-0.5, 3.5, 9.5, 13.5]
        drawn = [line.get_xydata()[0].tolist() for line in axes.lines]
        assert drawn == POINTS.tolist()
        assert axes.get_xlabel() == 'L2'
    assert left.get_title() == 'teacher'
    assert right.get_title() == 'student\nagrees with the teacher on 75% of it'
    assert left.get_ylabel() == 'a plane\nL2'
    assert figure.get_suptitle() == 'A title'


def test_many_classes_share_the_colour_of_others(tmp_path):
    """Base and target classes have one of their own, however small."""
    generator = np.random.default_rng(0)
    regions = generator.integers(3, 200, (4, 4))
    names = [f'class {c}' for c in range(200)]
    figure = draw_decision_regions([plane(regions, regions)], names)
    figure.savefig(tmp_path / 'regions.png')
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    # Three colours are kept for the classes of the points, which do not occur.
    assert len(labels) == 7 + 1 + 3
    assert labels[7] == 'other classes'
    others = np.abs(shown_colours(figure.axes[0]) - to_rgb(OTHER_COLOUR)).sum(-1) < 1e-6
    assert others.sum() == (len(np.unique(regions)) - 7)


def test_a_single_class_and_several_planes(tmp_path):
    """As a student before training often has it."""
    planes = [plane(np.full((4, 4), 2), np.full((4, 4), 1), name=n) for n in ('first', 'second')]
    figure = draw_decision_regions(planes, 'abc')
    figure.savefig(tmp_path / 'regions.png')
    assert [axes.get_ylabel().strip() for axes in figure.axes[::2]] == ['first', 'second']
    assert 'on 0%' in figure.axes[1].get_title()


def test_agreement():
    assert agreement(np.array([1, 2, 3, 4]), np.array([1, 2, 0, 4])) == pytest.approx(0.75)
