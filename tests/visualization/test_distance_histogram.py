"""The histograms count the distances they were given."""

import numpy as np
import pytest

from amkd_mm.visualization import draw_distances


def test_counts_and_medians(tmp_path):
    values = dict(teacher=np.array([1.0, 2.0, 2.1, 9.0]), student=np.array([3.0, 30.0, 4.0]))
    figure = draw_distances(values, 'pixels')
    figure.savefig(tmp_path / 'distances.png')
    (axes,) = figure.axes
    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    for outline, found in zip(outlines, values.values(), strict=True):
        path = outline.get_path().vertices
        # 30 bins of 1, from 0 to the largest of all.
        expected, _ = np.histogram(found, np.arange(31))
        assert path[:, 1].max() == expected.max()
        area = 0.5 * abs(np.dot(path[:-1, 0], path[1:, 1]) - np.dot(path[:-1, 1], path[1:, 0]))
        assert area == pytest.approx(len(found))
    medians = [line.get_xdata()[0] for line in axes.lines]
    assert medians == pytest.approx([2.05, 4.0])
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ['teacher: 4 samples, median 2.05', 'student: 3 samples, median 4']
    assert axes.get_xlabel().endswith('pixels')


def test_says_what_is_missing(tmp_path):
    figure = draw_distances(dict(teacher=np.array([1.0]), student=np.array([])))
    figure.savefig(tmp_path / 'one.png')
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ['teacher: 1 samples, median 1', 'student: no sample']
    figure = draw_distances(dict(teacher=np.array([]), student=np.array([])))
    figure.savefig(tmp_path / 'none.png')
    assert 'none was moved' in figure.axes[0].texts[0].get_text()
    # All of them on the boundary already
    draw_distances(dict(teacher=np.zeros(3))).savefig(tmp_path / 'zero.png')
