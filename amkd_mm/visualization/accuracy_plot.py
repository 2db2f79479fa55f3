"""Accuracy over epochs, one line a run."""

from matplotlib.figure import Figure

from .colours import COLOURS

MARKERS = 'osD^vP'


def draw_accuracies(
    curves: dict[str, list[float]], reference: tuple[str, float] | None = None
) -> Figure:
    """Draw the validation accuracy of several runs.

    Args:
        curves (dict[str, list[float]]): Name of a run to its accuracies in percent, one an epoch.
        reference (tuple[str, float], optional): Name and accuracy of a horizontal line, such as
            the teacher's.

    Returns:
        Figure: To be saved with ``savefig``.
    """
    figure = Figure(figsize=(7, 4.2), layout='constrained')
    axes = figure.subplots()
    for index, (name, values) in enumerate(curves.items()):
        style = dict(color=COLOURS[index % 6], marker=MARKERS[index % 6], markersize=4)
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, label=f'{name} ({values[-1]:.1f}%)', **style)
    if reference is not None:
        name, value = reference
        axes.axhline(value, color='black', linestyle='--', label=f'{name} ({value:.1f}%)')
    axes.set_xlabel('epoch')
    axes.set_ylabel('validation accuracy (%)')
    axes.set_title('Accuracy by epoch (in brackets: last epoch)')
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
