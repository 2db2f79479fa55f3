"""The panel shows the samples it was given."""

import numpy as np

import amkd_mm  # noqa: F401
from amkd_mm.visualization import draw_boundary_panel


def test_shows_samples_perturbations_and_probabilities(tmp_path):
    generator = np.random.default_rng(0)
    images = generator.integers(50, 200, (2, 8, 8, 3)).astype(float)
    moved = images.copy()
    moved[0, 0, 0, 0] += 50  # The largest change of all, upwards
    moved[1, 3, 4, 2] -= 25
    before = np.array([[0.9, 0.1, 0.0], [0.2, 0.1, 0.7]])
    after = np.array([[0.49, 0.51, 0.0], [0.505, 0.0, 0.495]])

    names = ('cat', 'dog', 'frog')
    before, after = (dict(teacher=p, student=p[:, ::-1]) for p in (before, after))
    figure = draw_boundary_panel(
        images, moved, [0, 2], [1, 0], before, after, names, reached=[False, True]
    )

    axes = np.array(figure.axes).reshape(3, 2)
    pictures = [[axis.images[0].get_array() for axis in row] for row in axes]
    np.testing.assert_array_equal(pictures[0], images)
    np.testing.assert_array_equal(pictures[2], moved)
    # One factor for both: the largest change is white, half of it the other way half black.
    assert pictures[1][0][0, 0, 0] == 254
    assert pictures[1][1][3, 4, 2] in (63, 64)
    unchanged = np.ones((8, 8, 3), bool)
    unchanged[0, 0, 0] = False
    assert (pictures[1][0][unchanged] == 127).all()

    texts = [[axis.get_xlabel() for axis in row] for row in axes]
    lines = [[line.split() for line in row[0].splitlines()] for row in (texts[0], texts[2])]
    head = ['teacher', 'student']
    assert lines[0] == [head, ['p(cat)', '0.900', '0.000'], ['p(dog)', '0.100', '0.100']]
    # The first sample stayed outside.
    assert lines[1][3] == ['not', 'moved', 'into', 'dog']
    second = [line.split() for line in texts[2][1].splitlines()]
    assert second == [head, ['p(frog)', '0.495', '0.505'], ['p(cat)', '0.505', '0.495']]
    assert texts[1][0].startswith('L2 = 50')
    figure.savefig(tmp_path / 'panel.png')  # Needs no screen.


def test_no_change_is_grey():
    images = np.zeros((1, 4, 4, 3))
    probabilities = dict(teacher=np.array([[1.0, 0.0]]))
    figure = draw_boundary_panel(images, images, [0], [1], probabilities, probabilities)
    assert (figure.axes[1].images[0].get_array() == 127).all()
    words = figure.axes[0].get_xlabel().split()
    assert words == ['teacher', 'p(0)', '1.000', 'p(1)', '0.000']
