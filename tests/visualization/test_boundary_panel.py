"""The panel shows the samples it was given."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

import amkd_mm  # noqa: F401
from amkd_mm.visualization import draw_boundary_panel, render


def bars(axis):
    """Name of a network to the heights and numbers of its bars, and to their colour."""
    return {
        group.get_label(): ([bar.get_height() for bar in group], to_hex(group[0].get_facecolor()))
        for group in axis.containers
    }


def test_shows_samples_perturbations_and_probabilities(tmp_path):
    generator = np.random.default_rng(0)
    images = generator.integers(50, 200, (2, 8, 8, 3)).astype(float)
    moved = images.copy()
    moved[0, 0, 0, 0] += 50  # The largest change of all, upwards
    moved[1, 3, 4, 2] -= 25
    before = dict(
        teacher=np.array([[0.9, 0.1, 0.0], [0.2, 0.1, 0.7]]),
        student=np.array([[0.6, 0.3, 0.1], [0.25, 0.4, 0.35]]),
    )
    after = dict(
        teacher=np.array([[0.49, 0.51, 0.0], [0.505, 0.0, 0.495]]),
        student=np.array([[0.55, 0.3, 0.15], [0.3, 0.3, 0.4]]),
    )

    names = ('cat', 'dog', 'great white shark')
    figure = draw_boundary_panel(
        images, moved, [0, 2], [1, 0], before, after, names, [False, True], title='It'
    )

    base, base_bars, changes, boundary, boundary_bars = np.array(figure.axes).reshape(5, 2)
    pictures = [[axis.images[0].get_array() for axis in row] for row in (base, changes, boundary)]
    np.testing.assert_array_equal(pictures[0], images)
    np.testing.assert_array_equal(pictures[2], moved)
    # One factor for both: the largest change is white, half of it the other way half black.
    assert pictures[1][0][0, 0, 0] == 254
    assert pictures[1][1][3, 4, 2] in (63, 64)
    unchanged = np.ones((8, 8, 3), bool)
    unchanged[0, 0, 0] = False
    assert (pictures[1][0][unchanged] == 127).all()
    assert changes[0].get_xlabel() == 'L2 = 50'
    assert 'x 2.5' in changes[0].get_ylabel()
    # The first sample stayed outside.
    assert [axis.get_xlabel() for axis in boundary] == ['not moved into dog', '']

    assert [axis.get_title() for axis in base] == ['1: cat\n→ dog', '2: great white s…\n→ cat']
    first, second = bars(base_bars[0]), bars(boundary_bars[1])
    assert first['teacher'][0] == [0.9, 0.1] and first['student'][0] == [0.6, 0.3]
    assert second['teacher'][0] == [0.495, 0.505] and second['student'][0] == [0.4, 0.3]
    assert [label.get_text() for label in base_bars[0].get_xticklabels()] == ['cat', 'dog']
    # A network has one colour everywhere, which the legend explains.
    legend = dict(
        zip(
            [text.get_text() for text in figure.legends[0].get_texts()],
            [to_hex(patch.get_facecolor()) for patch in figure.legends[0].get_patches()],
            strict=True,
        )
    )
    assert legend == {name: first[name][1] for name in ('teacher', 'student')}
    assert legend == {name: second[name][1] for name in ('teacher', 'student')}
    assert len(set(legend.values())) == 2
    assert figure._suptitle.get_text() == 'It'
    figure.savefig(tmp_path / 'panel.png')  # Needs no screen.


def test_no_change_is_grey():
    images = np.zeros((1, 4, 4, 3))
    probabilities = dict(teacher=np.array([[1.0, 0.0]]))
    figure = draw_boundary_panel(images, images, [0], [1], probabilities, probabilities)
    assert (figure.axes[2].images[0].get_array() == 127).all()
    assert figure.axes[0].get_title() == '1: 0\n→ 1'


@pytest.mark.parametrize('number', [1, 6])
def test_nothing_is_cut_off(number):
    images = np.zeros((number, 4, 4, 3))
    probabilities = dict(teacher=np.full((number, 2), 0.5), student=np.full((number, 2), 0.5))
    figure = draw_boundary_panel(
        images, images, [0] * number, [1] * number, probabilities, probabilities
    )
    picture = render(figure)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()
    # The title and the legend lie within the picture.
    height, width = picture.shape[:2]
    renderer = figure.canvas.get_renderer()
    for artist in (figure._suptitle, figure.legends[0]):
        box = artist.get_window_extent(renderer)
        assert box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height
