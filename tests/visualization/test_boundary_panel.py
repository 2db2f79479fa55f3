"""The panel shows the samples it was given."""

import warnings

import numpy as np
import pytest
from matplotlib import cbook
from matplotlib.colors import to_hex
from matplotlib.text import Text

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

    assert [axis.get_title() for axis in base] == [
        'sample 1\ncat → dog',
        'sample 2\ngreat white s… → cat',
    ]
    # Base class, target class, and the other one.
    first, second = bars(base_bars[0]), bars(boundary_bars[1])
    assert first['teacher'][0] == [0.9, 0.1, 0.0] and first['student'][0] == [0.6, 0.3, 0.1]
    assert second['teacher'][0] == [0.495, 0.505, 0.0]
    assert second['student'][0] == [0.4, 0.3, 0.3]
    labels = [label.get_text() for label in base_bars[0].get_xticklabels()]
    assert labels == ['cat', 'dog', 'great w…']
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
    assert figure.axes[0].get_title() == 'sample 1\nclass 0 → 1'
    assert '(x 1.0;' in figure.axes[2].get_ylabel()
    # There is no other class.
    assert bars(figure.axes[1])['teacher'][0] == [1.0, 0.0]
    assert figure.legends[0].get_title().get_text().endswith('base class and the target class')


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


def test_the_third_bar_is_the_class_that_holds_the_rest():
    """0.11 and 0.26 of base and target class look like a failure otherwise."""
    images = np.zeros((1, 4, 4, 3))
    before = dict(
        teacher=np.array([[0.05, 0.7, 0.1, 0.15, 0]]), student=np.array([[0.3, 0.1, 0.35, 0.25, 0]])
    )
    after = dict(
        teacher=np.array([[0.02, 0.48, 0.01, 0.49, 0]]),
        student=np.array([[0.6, 0.11, 0, 0.26, 0.03]]),
    )
    figure = draw_boundary_panel(images, images, [1], [3], before, after)
    for axis, other, teacher, student in (
        (figure.axes[1], '2', 0.1, 0.35),
        (figure.axes[4], '0', 0.02, 0.6),
    ):
        assert [label.get_text() for label in axis.get_xticklabels()] == ['1', '3', other]
        found = bars(axis)
        assert (found['teacher'][0][2], found['student'][0][2]) == (teacher, student)


@pytest.mark.parametrize(
    ('channels', 'shown', 'note'),
    [
        (1, [0, 0, 0], ''),
        (2, [0, 0, 0], 'channel 1 of 2'),
        (3, [0, 1, 2], ''),
        (4, [0, 1, 2], 'channels 1 to 3 of 4'),
        (13, [0, 1, 2], 'channels 1 to 3 of 13'),
    ],
)
def test_any_number_of_channels(channels, shown, note):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 200, (1, 5, 5, channels)).astype(np.uint8)
    moved = images.copy()
    # In the last channel, which may not be shown.
    moved[0, 1, 2, -1] += 30
    moved[0, 2, 2, -1] += 40
    probabilities = dict(teacher=np.array([[0.5, 0.5]]))
    figure = draw_boundary_panel(images, moved, [0], [1], probabilities, probabilities, title='It')
    pictures = [axis.images[0].get_array() for axis in (figure.axes[0], figure.axes[3])]
    np.testing.assert_array_equal(pictures[0], images[0][..., shown])
    np.testing.assert_array_equal(pictures[1], moved[0][..., shown])
    assert figure.axes[2].get_xlabel() == 'L2 = 50'
    title = figure._suptitle.get_text()
    assert title == (f'It\n(shown: {note})' if note else 'It')
    render(figure)


def drawn(figure):
    """Every text of a rendered picture, which is drawn as it is, not as a formula."""
    render(figure)
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize(
    'names',
    [
        ['$x', 'price $'],
        ['$x^2$', '$\\undefined{$'],
        ['a' * 300, 'b ' * 300],
        ['автомобиль', 'Straße\n(wide)'],
        ['', ' '],
        [7, 8],
        ['_hidden', 'under_score'],
    ],
)
def test_unusual_names(names):
    images = np.zeros((1, 4, 4, 3))
    probabilities = dict(teacher=np.array([[0.5, 0.5]]))
    figure = draw_boundary_panel(
        images, images, [0], [1], probabilities, probabilities, names, [False]
    )
    texts = drawn(figure)
    assert not any(cbook.is_math_text(text) for text in texts)
    assert all(len(line) < 80 for text in texts for line in text.splitlines())


@pytest.mark.parametrize('size', [(1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e30, 65535.0])
def test_unusual_pixels(value, size):
    images = np.full((2, *size, 3), 100.0)
    moved = images.copy()
    moved[1] += 10
    images[0, 0, 0, 0] = value
    probabilities = dict(teacher=np.array([[np.nan, np.nan, np.nan], [0.2, 0.3, 0.5]]))
    with np.errstate(all='raise'), warnings.catch_warnings():
        warnings.simplefilter('error')
        render(draw_boundary_panel(images, moved, [0, 0], [1, 1], probabilities, probabilities))


def test_integers_do_not_overflow():
    images = np.full((1, 2, 2, 3), 60000, np.uint16)
    probabilities = dict(teacher=np.array([[0.5, 0.5]]))
    figure = draw_boundary_panel(images, images - 3, [0], [1], probabilities, probabilities)
    assert figure.axes[2].get_xlabel() == f'L2 = {np.sqrt(12 * 9):.0f}'
