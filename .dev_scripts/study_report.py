"""Print tables of the runs in ``docs/results/runs.csv``, and draw them.

``python .dev_scripts/study_report.py`` prints for each student and split the mean and the sample
standard deviation of each setting, best first, and its paired gain over others with a 95%
confidence interval; ``--plot`` draws the test accuracies to ``docs/results/accuracy.png``.
"""

import argparse

from matplotlib.figure import Figure
from study import RUNS, read_runs

from amkd_mm.benchmarking.comparison import mean_and_std, paired_gain
from amkd_mm.benchmarking.tables import interval, spread
from amkd_mm.visualization.colours import COLOURS


def by_setting(split):
    """Data, student and schedule to setting to seed to accuracy, of the runs of a split."""
    found = {}
    for (data, student, schedule, setting, of, seed), row in read_runs().items():
        if of == split:
            name = f'{data}, {student}, {schedule}'
            runs = found.setdefault(name, {}).setdefault(setting, {})
            runs[int(seed)] = float(row['accuracy'])
    return found


def table(settings, baselines):
    """A markdown table of settings, best first."""
    heads = ['setting', 'n', 'accuracy (%)', *(f'gain over {name}' for name in baselines)]
    lines = [f'| {" | ".join(heads)} |', '| --- |' + ' ---: |' * (len(heads) - 1)]
    means = {name: mean_and_std(list(runs.values())) for name, runs in settings.items()}
    for name in sorted(settings, key=lambda name: -means[name]['mean']):
        gains = [
            '-' if name == one else interval(paired_gain(settings[name], settings[one]))
            for one in baselines
        ]
        cells = [f'`{name}`', str(means[name]['n']), spread(means[name]), *gains]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def draw(students):
    """Accuracy of each setting on the test images: each run, and mean and standard deviation."""
    figure = Figure(figsize=(7, 1 + 0.32 * sum(map(len, students.values()))), layout='constrained')
    heights = [len(settings) for settings in students.values()]
    axes = figure.subplots(len(students), squeeze=False, height_ratios=heights)[:, 0]
    for axis, (student, settings) in zip(axes, students.items(), strict=True):
        means = {name: mean_and_std(list(runs.values())) for name, runs in settings.items()}
        order = sorted(settings, key=lambda name: means[name]['mean'])
        for place, name in enumerate(order):
            runs = list(settings[name].values())
            axis.scatter(runs, [place] * len(runs), s=14, color=COLOURS[1], zorder=2)
            error = means[name]['std'] or 0
            axis.errorbar(means[name]['mean'], place, xerr=error, fmt='o', color=COLOURS[0])
        axis.set_yticks(range(len(order)), order, fontsize=8)
        axis.set_title(f'{student}: runs (orange), mean and standard deviation (blue)', fontsize=10)
        axis.grid(axis='x', alpha=0.3)
    axes[-1].set_xlabel('accuracy on the test images (%)')
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--over', nargs='*', default=[], metavar='SETTING', help='to compare with')
    parser.add_argument('--plot', action='store_true')
    args = parser.parse_args()
    for split in ('held-out', 'test'):
        for student, settings in by_setting(split).items():
            print(f'\n{student}, {split}\n')
            print(table(settings, [name for name in args.over if name in settings]))
    if args.plot:
        draw(by_setting('test')).savefig(RUNS.with_name('accuracy.png'), dpi=130)


if __name__ == '__main__':
    main()
