"""What the runs of a benchmark say together. All accuracies in percent."""

import math
import statistics
from collections.abc import Sequence

from scipy import stats

from .records import Run, Setting


def mean_and_std(values: Sequence[float]) -> dict | None:
    """Mean and sample standard deviation, which is None for a single value."""
    if not values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return dict(mean=statistics.fmean(values), std=std, n=len(values))


def paired_gain(
    values: dict[int, float], baseline: dict[int, float], confidence: float = 0.95
) -> dict | None:
    """Mean difference of values with the same seed, with its t confidence interval.

    Args:
        values (dict[int, float]): Value by seed.
        baseline (dict[int, float]): The values to compare with, by seed.
        confidence (float): Of the interval. Defaults to 0.95.

    Returns:
        dict, optional: ``mean``, ``low``, ``high`` and ``n``. Both limits are None for one pair.
    """
    differences = [values[seed] - baseline[seed] for seed in sorted(values.keys() & baseline)]
    if not differences:
        return None
    gain = dict(mean_and_std(differences), low=None, high=None)
    if gain.pop('std') is not None:
        n = len(differences)
        half = stats.t.ppf((1 + confidence) / 2, n - 1)
        half *= statistics.stdev(differences) / math.sqrt(n)
        gain.update(low=gain['mean'] - half, high=gain['mean'] + half)
    return gain


def same(first: Setting, second: Setting, *networks: str) -> bool:
    """Whether two configs have these networks, which must be known, and their data in common."""
    return first.data == second.data and all(
        first.identity(network) is not None and first.identity(network) == second.identity(network)
        for network in networks
    )


def find_alone(setting: Setting, settings: Sequence[Setting]) -> Setting | None:
    """The config that trains the student of another without a teacher."""
    if setting.networks.get('alone'):
        return None
    alone = (other for other in settings if other.networks.get('alone'))
    return next((other for other in alone if same(setting, other, 'student')), None)


def find_kd(setting: Setting, settings: Sequence[Setting]) -> Setting | None:
    """The config that distils the same pair by KD, none for KD itself."""
    if setting.config.stem.startswith('kd_logits'):
        return None
    return next(
        (
            other
            for other in settings
            if other.config.stem.startswith('kd_logits')
            and same(setting, other, 'student', 'teacher')
        ),
        None,
    )


def summarise(settings: Sequence[Setting], runs: Sequence[Run]) -> list[dict]:
    """One row for each config, of its complete runs."""
    complete = {
        s.name: [r for r in runs if r.setting == s.name and r.status == 'complete']
        for s in settings
    }

    def by_seed(setting):
        return {run.seed: run.last for run in complete[setting.name]}

    rows = []
    for setting in settings:
        done = complete[setting.name]
        alone, kd = find_alone(setting, settings), find_kd(setting, settings)
        epochs = [seconds for run in done for seconds in run.epoch_seconds]
        memory = [run.peak_memory_mib for run in done if run.peak_memory_mib is not None]
        rows.append(
            dict(
                config=setting.name,
                path=str(setting.config),
                folder=str(setting.folder),
                seeds=[run.seed for run in done],
                wanted=sum(run.setting == setting.name for run in runs),
                last=mean_and_std([run.last for run in done]),
                best=mean_and_std([run.best for run in done]),
                teacher=mean_and_std([run.teacher for run in done if run.teacher is not None]),
                alone=alone and mean_and_std(list(by_seed(alone).values())),
                gain_over_kd=kd and paired_gain(by_seed(setting), by_seed(kd)),
                epoch_seconds=statistics.median(epochs) if epochs else None,
                peak_memory_mib=max(memory, default=None),
                memory_kind=next((run.memory_kind for run in done if run.memory_kind), ''),
                networks=setting.networks,
            )
        )
    return rows
