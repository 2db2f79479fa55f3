"""What the runs of a benchmark say together. All accuracies in percent."""

import statistics
from collections.abc import Callable, Sequence

from scipy import stats

from .records import Run, Setting

CONFIDENCE = 0.95


def mean_and_std(values: Sequence[float]) -> dict | None:
    """Mean and sample standard deviation, which is None for a single value."""
    if not values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return dict(mean=statistics.fmean(values), std=std, n=len(values))


def paired_gain(values: dict[int, float], baseline: dict[int, float]) -> dict | None:
    """Mean difference of values with the same seed, with its 95% t confidence interval.

    Args:
        values (dict[int, float]): Value by seed.
        baseline (dict[int, float]): The values to compare with, by seed.

    Returns:
        dict, optional: ``mean``, ``low``, ``high`` and ``n``. Both limits are None for one pair.
    """
    gain = mean_and_std([values[seed] - baseline[seed] for seed in values.keys() & baseline])
    if gain is None:
        return None
    mean, std, n = gain.values()
    # Of equal differences, too, whose `scipy.stats.ttest_rel` is not a number.
    half = std and stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * std / n**0.5
    limits = (None, None) if half is None else (float(mean - half), float(mean + half))
    return dict(mean=mean, n=n, low=limits[0], high=limits[1])


def is_alone(setting: Setting) -> bool:
    """Whether a config trains its network without distillation."""
    return bool(setting.networks.get('alone'))


def is_kd(setting: Setting) -> bool:
    """Whether a config distils by KD."""
    return setting.config.stem.startswith('kd_logits')


def baseline_of(
    setting: Setting, settings: Sequence[Setting], accepted: Callable, *networks: str
) -> Setting | None:
    """The accepted config with the same data and networks, none for one that is accepted itself.

    Networks of unknown size are not the same.
    """

    def shared(other):
        return [other.data, *map(other.identity, networks)]

    if accepted(setting) or None in shared(setting):
        return None
    found = (other for other in settings if accepted(other) and shared(other) == shared(setting))
    return next(found, None)


def summarise(settings: Sequence[Setting], runs: Sequence[Run]) -> list[dict]:
    """One row for each config, of its complete runs."""
    complete = {
        s.name: [r for r in runs if r.setting is s and r.status == 'complete'] for s in settings
    }
    lasts = {name: {run.seed: run.last for run in done} for name, done in complete.items()}
    rows = []
    for setting in settings:
        done, last = complete[setting.name], lasts[setting.name]
        alone = baseline_of(setting, settings, is_alone, 'student')
        kd = baseline_of(setting, settings, is_kd, 'student', 'teacher')
        epochs = [seconds for run in done for seconds in run.epoch_seconds]
        memory = [run.peak_memory_mib for run in done if run.peak_memory_mib is not None]
        rows.append(
            dict(
                config=setting.name,
                path=str(setting.config),
                folder=str(setting.folder),
                seeds=list(last),
                wanted=sum(run.setting is setting for run in runs),
                last=mean_and_std(list(last.values())),
                best=mean_and_std([run.best for run in done]),
                teacher=mean_and_std([run.teacher for run in done if run.teacher is not None]),
                alone=alone and mean_and_std(list(lasts[alone.name].values())),
                gain_over_kd=kd and paired_gain(last, lasts[kd.name]),
                epoch_seconds=statistics.median(epochs) if epochs else None,
                peak_memory_mib=max(memory, default=None),
                memory_kind=next((run.memory_kind for run in done if run.memory_kind), ''),
                networks=setting.networks,
            )
        )
    return rows
