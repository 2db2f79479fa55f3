"""The plot shows the accuracies it was given."""

import pytest
from matplotlib import cbook

from amkd_mm.visualization import draw_accuracies, render


def test_one_line_a_run_and_the_reference(tmp_path):
    curves = {'alone': [10.0, 50.0, 60.0], 'by KD': [20.0, 55.5]}
    figure = draw_accuracies(curves, reference=('teacher', 90.0))
    lines = figure.axes[0].lines
    assert [list(line.get_ydata()) for line in lines] == [*curves.values(), [90.0, 90.0]]
    assert list(lines[0].get_xdata()) == [1, 2, 3]
    assert len({line.get_color() for line in lines}) == 3
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ['alone (60.0%)', 'by KD (55.5%)', 'teacher (90.0%)']
    figure.savefig(tmp_path / 'plot.png')


def test_the_last_accuracies_can_be_told_apart():
    """Not those of the first epochs, which would press the others together."""
    first = [9.0, 40.0, 70.0, 85.0, 90.0, 94.0, 95.0, 95.5, 95.7, 96.0]
    second = [8.0, 42.0, 71.0, 84.0, 91.0, 95.0, 96.0, 96.5, 96.7, 97.0]
    figure = draw_accuracies(dict(a=first, b=second), ('teacher', 98.0))
    low, high = figure.axes[0].get_ylim()
    # All of the second half is seen, and a percent is a tenth of the axis or more.
    assert low < 94 and high > 98 and high - low <= 10
    # The legend hides no end of a curve.
    render(figure)
    box = figure.axes[0].get_legend().get_window_extent()
    for x, y in ((10, 96.0), (10, 97.0), (9, 95.7)):
        assert not box.contains(*figure.axes[0].transData.transform((x, y)))


@pytest.mark.parametrize(
    'curves', [dict(a=[50.0]), dict(a=[100.0] * 3), dict(a=[0.0, 0.0]), dict(a=[float('nan')] * 2)]
)
def test_short_and_flat_curves(curves):
    low, high = draw_accuracies(curves).axes[0].get_ylim()
    assert 0 <= low < high <= 101
    values = [value for value in curves['a'] if value == value]
    assert all(low <= value <= high for value in values)


def test_names_are_no_formulas():
    figure = draw_accuracies({'$x_': [1.0], 'a $': [2.0]}, ('$t$', 3.0))
    render(figure)
    texts = figure.axes[0].get_legend().get_texts()
    assert not any(cbook.is_math_text(text.get_text()) for text in texts)
