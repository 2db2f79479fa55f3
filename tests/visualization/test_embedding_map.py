"""The map shows the embeddings it was given."""

import numpy as np
from matplotlib.colors import to_rgba

from amkd_mm.analysis import EmbeddingMap
from amkd_mm.visualization import draw_embedding_map
from amkd_mm.visualization.class_style import OTHER_COLOUR


def test_samples_lines_and_legend(tmp_path):
    clean = np.array([[0.0, 0.0], [1.0, 1.0], [4.0, 0.0]])
    moved = np.array([[3.0, 0.5], [0.5, 0.5]])
    found = EmbeddingMap(clean, moved, np.array([0.75, 0.2]))
    other = EmbeddingMap(clean + 5, moved + 5, np.array([0.5, 0.25]))
    maps = dict(teacher=found, student=other)
    figure = draw_embedding_map(maps, [0, 2, 2], [2, 1], ('cat', 'dog', 'frog'))
    figure.savefig(tmp_path / 'map.png')

    for axes, (name, points) in zip(figure.axes, maps.items(), strict=True):
        lines, dots, crosses = axes.collections
        np.testing.assert_array_equal(dots.get_offsets(), points.clean)
        np.testing.assert_array_equal(crosses.get_offsets(), points.moved)
        # From each boundary sample to its own clean one.
        ways = [path.vertices.tolist() for path in lines.get_paths()]
        expected = [[points.clean[2], points.moved[0]], [points.clean[1], points.moved[1]]]
        np.testing.assert_array_equal(ways, expected)
        # A boundary sample has the colour of its clean one.
        tints = dots.get_facecolors()
        assert (tints[1] == tints[2]).all() and (tints[0] != tints[1]).any()
        np.testing.assert_array_equal(crosses.get_edgecolors(), tints[[2, 1]])
        assert axes.get_title() == name
        # The names stand in the middle of their class.
        texts = {text.get_text(): text.get_position() for text in axes.texts}
        assert texts['frog'] == tuple(points.clean[1:].mean(0))
        assert set(texts) == {'cat', 'frog'}
    assert '75%' in figure.axes[0].get_xlabel() and '20%' in figure.axes[0].get_ylabel()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ['cat', 'frog', 'clean sample', 'its boundary sample']


def test_many_classes(tmp_path):
    """The ten most frequent ones are named, all are drawn."""
    labels = np.concatenate([np.arange(200), np.arange(50, 60)])
    clean = np.random.default_rng(0).normal(size=(len(labels), 2))
    found = EmbeddingMap(clean, np.zeros((0, 2)), np.array([0.5, 0.5]))
    names = [f'class {c}' for c in range(200)]
    figure = draw_embedding_map(dict(teacher=found), labels, [], names)
    figure.savefig(tmp_path / 'map.png')
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == [f'class {c}' for c in range(50, 60)]
    tints = figure.axes[0].collections[1].get_facecolors()
    assert len(tints) == 210
    assert sum((tint == to_rgba(OTHER_COLOUR)).all() for tint in tints) == 190
    assert 'other classes' in [text.get_text() for text in figure.legends[0].get_texts()]
