"""The plot shows the accuracies it was given."""

import amkd_mm  # noqa: F401
from amkd_mm.visualization import draw_accuracies


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
