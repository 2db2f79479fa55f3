"""The tables of a benchmark, and their files."""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from .records import Run

NOTES = """\
Top-1 accuracy on the validation data, mean ± sample standard deviation over the seeds. The best
epoch is chosen on the same images, and so flatters. "Alone" is the student without a teacher, last
epoch. The gain is the mean difference to KD with the same seed, last epoch, with its 95% confidence
interval (paired t). Seconds: median training time of an epoch (of `val_interval` iterations where
training is counted in these), without validation. Memory: highest of all runs, of tensors on the
GPU (GPU) or of the largest process with all libraries (process). Parameters and multiply-adds
(MACs, for one image at the config's size) in millions."""


def number(value: float | None, form: str = '.2f') -> str:
    """A number as text, '-' for none."""
    return '-' if value is None else format(value, form)


def spread(values: dict | None) -> str:
    """Mean and standard deviation as text."""
    if values is None:
        return '-'
    text = number(values['mean'])
    return text if values['std'] is None else f'{text} ± {number(values["std"])}'


def interval(gain: dict | None) -> str:
    """Mean difference and its confidence interval as text, '-' where there is no interval."""
    if gain is None or gain['low'] is None:
        return '-'
    return f'{gain["mean"]:+.2f} ({gain["low"]:+.2f} to {gain["high"]:+.2f})'


def teacher(row: dict) -> str:
    """Accuracy of the teacher, without a spread where it is the same in all runs."""
    found = row['teacher']
    return spread(found and dict(found, std=found['std'] or None))


def memory(row: dict) -> str:
    """Peak memory and what it is of."""
    text = number(row['peak_memory_mib'], '.0f')
    return f'{text} ({row["memory_kind"]})' if row['memory_kind'] else text


def size(network: dict | None) -> str:
    """Parameters and multiply-adds as text."""
    if not network:
        return '-'
    return f'{network["parameters"]:.3g}, {number(network["macs"], ".3g")}'


def seeds(row: dict) -> str:
    """Number of complete runs, and of all if there are more."""
    done = len(row['seeds'])
    return str(done) if done == row['wanted'] else f'{done} of {row["wanted"]}'


COLUMNS = {
    'config': lambda row: row['config'],
    'seeds': seeds,
    'last epoch (%)': lambda row: spread(row['last']),
    'best epoch (%)': lambda row: spread(row['best']),
    'teacher (%)': teacher,
    'alone (%)': lambda row: spread(row['alone']),
    'gain over KD (points)': lambda row: interval(row['gain_over_kd']),
    's an epoch': lambda row: number(row['epoch_seconds'], '.3g'),
    'memory (MiB)': memory,
    'student: M parameters, M MACs': lambda row: size(row['networks'].get('student')),
    'teacher: M parameters, M MACs': lambda row: size(row['networks'].get('teacher')),
}


def reason(run: Run) -> str:
    """First and last line of an error: what failed, and the end of its log."""
    first, *rest = run.error.splitlines()
    return f'{first}: `{rest[-1].strip()[:200]}`' if rest else first


def markdown(rows: Sequence[dict], runs: Sequence[Run]) -> str:
    """The table with an explanation, and the runs that failed."""
    lines = [COLUMNS, ['---'] + ['---:'] * (len(COLUMNS) - 1)]
    lines += [[cell(row) for cell in COLUMNS.values()] for row in rows]
    text = '\n'.join(f'| {" | ".join(line)} |' for line in lines) + f'\n\n{NOTES}\n'
    failed = [run for run in runs if run.status == 'failed']
    if failed:
        text += '\nFailed:\n\n'
        text += ''.join(f'- {run.title}: {reason(run)}\n' for run in failed)
    return text


def flat(row: dict) -> dict:
    """A row of the CSV file: plain numbers, with units in the names."""
    values = dict(config=row['config'], seeds=len(row['seeds']), seeds_wanted=row['wanted'])
    for name in ('last', 'best', 'teacher', 'alone'):
        for key in ('mean', 'std'):
            values[f'{name}_top1_{key}_percent'] = (row[name] or {}).get(key)
    gain = row['gain_over_kd'] or {}
    for key in ('mean', 'low', 'high'):
        values[f'gain_over_kd_{key}_points'] = gain.get(key)
    values['gain_over_kd_pairs'] = gain.get('n')
    values.update((key, row[key]) for key in ('epoch_seconds', 'peak_memory_mib', 'memory_kind'))
    for name in ('student', 'teacher'):
        network = row['networks'].get(name) or {}
        for key in ('parameters', 'macs'):
            values[f'{name}_{key}_million'] = network.get(key)
    return values


def replace(path: Path, text: str) -> None:
    """Write a file so that it is whole at any time."""
    draft = path.with_name(f'.{path.name}.part')
    draft.write_text(text, encoding='utf-8')
    os.replace(draft, path)


def write_tables(folder: Path, rows: Sequence[dict], runs: Sequence[Run]) -> str:
    """Write ``results.md``, ``.csv`` and ``.json`` and ``runs.jsonl``; returns the first."""
    text, table = markdown(rows, runs), io.StringIO()
    writer = csv.DictWriter(table, list(flat(rows[0])), lineterminator='\n')
    writer.writeheader()
    writer.writerows(map(flat, rows))
    described = [run.described() for run in runs if run.status != 'waiting']
    replace(folder / 'results.md', text)
    replace(folder / 'results.csv', table.getvalue())
    replace(folder / 'results.json', json.dumps(rows, indent=2) + '\n')
    replace(folder / 'runs.jsonl', ''.join(json.dumps(line) + '\n' for line in described))
    return text
