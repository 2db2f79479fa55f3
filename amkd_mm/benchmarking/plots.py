"""Pictures of a benchmark."""

from collections.abc import Sequence
from os.path import commonprefix

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..visualization.accuracy_plot import COLOURS, MARKERS
from .records import Run, Setting

LINES = ('-', '--', ':', '-.')


def panels_of(settings: Sequence[Setting], runs: Sequence[Run]) -> list[list]:
    """Configs with complete runs, those of one student and its data together.

    Returns:
        list[list[tuple]]: Panels of (config, its complete runs).
    """
    panels = {}
    for setting in settings:
        done = [run for run in runs if run.setting is setting and run.status == 'complete']
        if done:
            key = setting.identity('student'), setting.data, setting.unit
            panels.setdefault(key, []).append((setting, done))
    return list(panels.values())


def short_names(panel: Sequence[tuple]) -> tuple[list[str], str]:
    """Names of a panel's configs without the words that all end with, and these words."""
    words = [setting.name.split('_') for setting, _ in panel]
    shared = len(commonprefix([line[::-1] for line in words])) if len(words) > 1 else 0
    # A word is left of each.
    shared = min(shared, *(len(line) - 1 for line in words))
    ends = [len(line) - shared for line in words]
    names = ['_'.join(line[:end]) for line, end in zip(words, ends, strict=True)]
    return names, '_'.join(words[0][ends[0] :])


def spread(values: Sequence[Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Means and sample standard deviations over the first axis; 0 of a single value."""
    values = np.asarray(values)
    return values.mean(0), values.std(0, ddof=min(len(values) - 1, 1))


def teacher_of(panel: Sequence[tuple]) -> float | None:
    """Accuracy of the teacher, if all configs that have one have the same."""
    found = {round(run.teacher, 2) for _, runs in panel for run in runs if run.teacher is not None}
    return found.pop() if len(found) == 1 else None


def draw_bars(settings: Sequence[Setting], runs: Sequence[Run]) -> Figure:
    """Last and best accuracy of each config, with standard deviations and single runs.

    Args:
        settings (Sequence[Setting]): The configs, top to bottom.
        runs (Sequence[Run]): Their runs.

    Returns:
        Figure: To be saved with ``savefig``.
    """
    panels = panels_of(settings, runs)
    heights = [0.75 * len(panel) + 0.9 for panel in panels]
    figure = Figure(figsize=(8, sum(heights) + 1), layout='constrained')
    rows = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for axes, panel in zip(rows, panels, strict=True):
        bars_of_panel(axes, panel)
    rows[-1].set_xlabel('top-1 accuracy on the validation data (%),\naxis not from 0')
    handles = [
        Patch(facecolor='0.45', label='last epoch'),
        Patch(facecolor='0.85', edgecolor='0.45', hatch='///', label='best epoch'),
        Line2D([], [], color='white', marker='o', markeredgecolor='black', label='one run'),
        Line2D([], [], color='black', marker='|', label='± standard deviation'),
    ]
    if any(teacher_of(panel) is not None for panel in panels):
        handles.append(Line2D([], [], color='black', linestyle='--', label='teacher'))
    figure.legend(handles=handles, loc='outside lower center', ncols=len(handles), fontsize=8)
    return figure


def bars_of_panel(axes, panel: Sequence[tuple]) -> None:
    """Draw the bars of one student."""
    names, title = short_names(panel)
    teacher = teacher_of(panel)
    seen = [] if teacher is None else [teacher]
    best = dict(facecolor='none', hatch='///', alpha=0.6)
    for index, (_, runs) in enumerate(panel):
        colour = COLOURS[index % len(COLOURS)]
        for place, values, style in (
            (index - 0.19, [run.last for run in runs], dict(facecolor=colour)),
            (index + 0.19, [run.best for run in runs], best),
        ):
            mean, std = spread(values)
            axes.barh(place, mean, 0.36, edgecolor=colour, **style)
            if std:
                axes.errorbar(mean, place, xerr=std, color='black', capsize=6, linewidth=1.2)
            dots = dict(facecolor='white', edgecolor='black', linewidth=0.8, s=14, zorder=3)
            axes.scatter(values, [place] * len(values), **dots)
            seen += [*values, mean - std, mean + std]
    if teacher is not None:
        axes.axvline(teacher, color='black', linestyle='--', linewidth=1)
    margin = max(0.25 * (max(seen) - min(seen)), 0.5)
    axes.set_xlim(max(min(seen) - margin, 0), min(max(seen) + 0.4 * margin, 100.2))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_title(title, fontsize=10)
    axes.grid(axis='x', alpha=0.3)
    axes.set_axisbelow(True)


def draw_curves(settings: Sequence[Setting], runs: Sequence[Run]) -> Figure:
    """Validation accuracy during training: mean and standard deviation over the seeds.

    Args:
        settings (Sequence[Setting]): The configs.
        runs (Sequence[Run]): Their runs.

    Returns:
        Figure: To be saved with ``savefig``.
    """
    panels = panels_of(settings, runs)
    figure = Figure(figsize=(14, 4.4 * len(panels)), layout='constrained')
    grid = figure.subplots(len(panels), 2, squeeze=False, width_ratios=(3, 2))
    for (whole, end), panel in zip(grid, panels, strict=True):
        curves_of_panel(whole, panel, 0)
        curves_of_panel(end, panel, 2 / 3)
        title = short_names(panel)[1]
        whole.set_title(f'{title}   mean ± standard deviation over the seeds'.strip(), fontsize=10)
        whole.set_ylabel('top-1 accuracy on the validation data (%)')
        end.set_title('the last third', fontsize=10)
        # Beside the curves, which may be anywhere.
        end.legend(loc='upper left', bbox_to_anchor=(1.02, 1), borderaxespad=0, fontsize=8)
    return figure


def curves_of_panel(axes, panel: Sequence[tuple], begin: float) -> None:
    """Draw the curves of one student from a fraction of its training on."""
    for index, (name, (setting, runs)) in enumerate(zip(short_names(panel)[0], panel, strict=True)):
        steps = sorted(set.intersection(*(set(run.curve) for run in runs)))
        steps = [step for step in steps if step >= begin * setting.length]
        mean, std = spread([[run.curve[step] for step in steps] for run in runs])
        colour = COLOURS[index % len(COLOURS)]
        style = dict(
            color=colour,
            marker=MARKERS[index % len(MARKERS)],
            linestyle=LINES[index // len(COLOURS) % len(LINES)],
            markevery=max(1, len(steps) // 12),
            markersize=4,
        )
        label = f'{name} ({len(runs)} seed{"s" * (len(runs) > 1)})'
        axes.plot(steps, mean, label=label, **style)
        if len(runs) > 1:
            low, high = np.clip([mean - std, mean + std], 0, 100)
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    teacher = teacher_of(panel)
    if teacher is not None:
        label = f'teacher ({teacher:.1f}%)'
        axes.axhline(teacher, color='black', linestyle='--', linewidth=1, label=label)
    axes.set_xlabel('iteration' if panel[0][0].unit == 'iter' else 'epoch')
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
