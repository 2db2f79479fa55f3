"""Tables and a plot of the runs in ``docs/results/runs.csv``.

``python .dev_scripts/study_report.py SETTING... --over BASELINE...`` prints the mean and the sample
standard deviation of each setting, best first, and its gain over the baselines: of runs with the
same seed, with a 95% confidence interval. ``SETTING@18`` is a setting trained for 18 epochs instead
of those of ``--schedule``. ``--costs`` adds what an iteration and the training cost, which
``study_cost.py`` measured. ``--measures`` prints the means of what
``study_measure.py`` added instead of gains. ``--write`` renews the tables of ``docs/results.md``
and the README, each of which stands below its command, and draws the accuracies on the test images,
as they are and over the time of a training.
Readers get the names of ``study_names.py``, with what the commands call a setting in parentheses.
"""

import argparse
import re
import shlex
from fnmatch import fnmatch
from statistics import fmean

from matplotlib.figure import Figure
from study import MEASURES, ROOT, RUNS, read_costs, read_runs
from study_names import MEASURE_NAMES, NAMES

from amkd_mm.benchmarking.comparison import mean_and_std, paired_gain
from amkd_mm.benchmarking.tables import interval, number, spread
from amkd_mm.visualization.colours import COLOURS

PAGES = [ROOT / 'docs' / 'results.md', ROOT / 'README.md']
COMMAND = 'python .dev_scripts/study_report.py'


def find(args, columns=('accuracy',)):
    """Setting to seed to values of the columns, of the runs that are asked for and have them."""
    wanted = (args.data, args.student, args.split)
    patterns = [*(args.settings or ['*']), *args.over]
    found = {}
    for (data, student, schedule, setting, split, seed), row in read_runs().items():
        name = setting
        if schedule != args.schedule:
            name += f'@{schedule.rpartition("-")[2]}'
            if schedule != with_epochs(args.schedule, name):
                continue
        asked = (data, student, split) == wanted and any(is_asked(name, each) for each in patterns)
        if asked and all(row.get(column) for column in columns):
            found.setdefault(name, {})[int(seed)] = [float(row[column]) for column in columns]
    return found


def is_asked(name, pattern):
    """Whether a setting fits a pattern; those of other epochs only if it names epochs, too."""
    return ('@' in name) == ('@' in pattern) and fnmatch(name, pattern)


def with_epochs(schedule, name):
    """A schedule with the epochs that a setting names, ``SETTING@EPOCHS``."""
    return f'{schedule.rpartition("-")[0]}-{name.rpartition("@")[2]}'


def find_accuracies(args):
    """Setting to seed to accuracy, of the runs that are asked for."""
    return {
        setting: {seed: accuracy for seed, (accuracy,) in runs.items()}
        for setting, runs in find(args).items()
    }


def gain(runs, baseline):
    """Paired gain as text, without an interval for one seed."""
    found = paired_gain(runs, baseline)
    if found and found['low'] is None:
        return number(found['mean'], '+.2f')
    return interval(found)


def label(setting):
    """A setting in a table: its name, and what the commands call it."""
    return f'{words_of(setting)} (`{setting}`)'


def words_of(setting):
    """What readers call a setting."""
    name, _, epochs = setting.partition('@')
    return f'{NAMES[name]} for {epochs} epochs' if epochs else NAMES[name]


def head_of(columns):
    """The first two lines of a markdown table."""
    return [f'| {" | ".join(columns)} |', '| --- |' + ' ---: |' * (len(columns) - 1)]


def table(args):
    """A markdown table of settings, best first."""
    settings = find_accuracies(args)
    heads = ['setting', 'n', 'accuracy (%)', *(f'gain over {words_of(one)}' for one in args.over)]
    costs = read_costs() if args.costs else {}
    if costs:
        heads += ['time of an iteration, KD = 1', 'time of the training, epochs of KD']
    lines = head_of(heads)
    means = {name: mean_and_std(list(runs.values())) for name, runs in settings.items()}
    for name in sorted(settings, key=lambda name: -means[name]['mean']):
        gains = [
            '' if name == one else gain(settings[name], settings.get(one, {})) for one in args.over
        ]
        cells = [label(name), str(means[name]['n']), spread(means[name]), *gains]
        if costs:
            cells += times(name, args.schedule, costs)
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def times(name, schedule, costs):
    """Cells with the time of an iteration and of a training, empty where it was not measured."""
    setting, _, epochs = name.partition('@')
    if setting not in costs:
        return ['', '']
    epochs = int(epochs or schedule.rpartition('-')[2])
    cost = costs[setting]
    return [cost['iteration'], f'{epochs * float(cost["training"]):.1f}']


def measures(args):
    """A markdown table of what was measured besides accuracy: means over the seeds."""
    settings = find(args, ('accuracy', *MEASURES))
    heads = ['setting', 'n', 'accuracy (%)', *(MEASURE_NAMES[name] for name in MEASURES)]
    lines = head_of(heads)
    means = {
        name: [fmean(values) for values in zip(*runs.values(), strict=True)]
        for name, runs in settings.items()
    }
    for name in sorted(settings, key=lambda name: -means[name][0]):
        cells = [label(name), str(len(settings[name])), *(f'{mean:#.3g}' for mean in means[name])]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def render(args):
    """The table that a command line asks for."""
    return measures(args) if args.measures else table(args)


def renew(page):
    """The page with each table as its command prints it now."""

    def with_table(match):
        args = make_parser().parse_args(shlex.split(match[1]))
        return f'`{COMMAND}{match[1]}`\n\n{render(args)}\n\n'

    # The line of a command, and the table below it if there is one yet.
    line = rf'^`{re.escape(COMMAND)}(.*)`\n\n(?:(?:\|.*\n)+\n)?'
    return re.sub(line, with_table, page, flags=re.MULTILINE)


def draw(args):
    """Accuracy of each setting: each run, and mean and standard deviation."""
    settings = find_accuracies(args)
    figure = Figure(figsize=(8, 1 + 0.32 * len(settings)), layout='constrained')
    axis = figure.subplots()
    means = {name: mean_and_std(list(runs.values())) for name, runs in settings.items()}
    order = sorted(settings, key=lambda name: means[name]['mean'])
    for place, name in enumerate(order):
        runs = list(settings[name].values())
        axis.scatter(runs, [place] * len(runs), s=14, color=COLOURS[1], zorder=2)
        error = means[name]['std'] or 0
        axis.errorbar(means[name]['mean'], place, xerr=error, fmt='o', color=COLOURS[0])
    axis.set_yticks(range(len(order)), [NAMES[name] for name in order], fontsize=8)
    title = f'{args.student} on {args.data}: runs (orange), mean and standard deviation (blue)'
    axis.set_title(title, fontsize=10)
    axis.grid(axis='x', alpha=0.3)
    axis.set_xlabel('accuracy on the test images (%)')
    return figure


def draw_over_time(args):
    """Accuracy of the settings whose cost is known over the time of their trainings.

    The unit of time is an epoch of KD, whose trainings of several lengths are a line.
    """
    costs, points = read_costs(), {}
    for schedule in sorted({key[2] for key in read_runs()}):
        epochs = re.fullmatch(r'batch64-warmup-cosine-(\d+)', schedule)
        if epochs is None:
            continue
        args.schedule = schedule
        for setting, runs in find_accuracies(args).items():
            if setting in costs:
                time = int(epochs[1]) * float(costs[setting]['training'])
                points.setdefault(setting, []).append((time, mean_and_std(list(runs.values()))))
    figure = Figure(figsize=(8, 5), layout='constrained')
    axis = figure.subplots()
    for setting, found in sorted(points.items()):
        times, means = zip(*sorted(found, key=lambda point: point[0]), strict=True)
        axis.errorbar(
            times,
            [mean['mean'] for mean in means],
            # Of the mean, not of a run.
            yerr=[(mean['std'] or 0) / mean['n'] ** 0.5 for mean in means],
            fmt='o-' if setting == 'kd-tau4-w1' else 'o',
            capsize=2,
            label=NAMES[setting],
        )
    axis.set_xscale('log')
    for place in (axis.xaxis.set_major_formatter, axis.xaxis.set_minor_formatter):
        place('{x:.0f}')
    axis.set_title(f'{args.student} on {args.data}: means and their standard errors', fontsize=10)
    axis.grid(alpha=0.3)
    axis.set_xlabel('time of the training, in epochs of KD')
    axis.set_ylabel('accuracy on the test images (%)')
    axis.legend(fontsize=8)
    return figure


def make_parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('settings', nargs='*', metavar='SETTING', help='default: all')
    parser.add_argument('--over', nargs='+', default=[], metavar='BASELINE')
    parser.add_argument('--data', default='cifar10')
    parser.add_argument('--student', default='resnet8')
    parser.add_argument('--schedule', default='batch64-warmup-cosine-15')
    parser.add_argument('--split', choices=['test', 'held-out'], default='test')
    parser.add_argument('--costs', action='store_true', help='with those of study_cost.py')
    parser.add_argument('--measures', action='store_true', help='of study_measure.py')
    parser.add_argument('--write', action='store_true')
    return parser


def main():
    args = make_parser().parse_args()
    if args.write:
        for page in PAGES:
            page.write_text(renew(page.read_text(encoding='utf-8')), encoding='utf-8')
        draw(args).savefig(RUNS.with_name('accuracy.png'), dpi=130)
        if read_costs():
            draw_over_time(args).savefig(RUNS.with_name('accuracy_over_time.png'), dpi=130)
    else:
        print(render(args))


if __name__ == '__main__':
    main()
