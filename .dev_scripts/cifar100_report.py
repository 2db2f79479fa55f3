"""The tables of ``docs/benchmark.md``: published figures beside the runs of ``cifar100.py``.

``python .dev_scripts/cifar100_report.py`` renews them from ``docs/results/cifar100_published.csv``
and ``docs/results/cifar100.csv``; ``cifar100.py`` does so after each training.
"""

import re

from cifar100 import PUBLISHED_KD, ROOT, RUNS, methods_of, read_published, read_runs

from amkd_mm.benchmarking.comparison import mean_and_std
from amkd_mm.benchmarking.tables import spread

PAGE = ROOT / 'docs' / 'benchmark.md'
COMMAND = 'python .dev_scripts/cifar100.py'
# Names for readers, in the order of the tables.
NAMES = {
    'teacher': 'teacher',
    'vanilla': 'student alone',
    PUBLISHED_KD: 'KD of the literature',
    'kd': 'KD of this project',
    'bss': 'BSS',
    'amkd': 'AMKD',
    'amkd-dkd': 'AMKD + DKD',
    'dkd': 'DKD',
    'logit_standardization': 'KD, logit standardization',
    'dist': 'DIST',
    'wsld': 'WSLD',
    'ctkd': 'CTKD',
    'mlkd': 'MLKD',
    'triplet_kd': 'Triplet KD',
    'rkd': 'RKD',
    'crd': 'CRD',
    'sp': 'SP',
    'pkt': 'PKT',
    'at': 'AT',
    'fitnets': 'FitNets',
    'nst': 'NST',
    'vid': 'VID',
    'review_kd': 'ReviewKD',
    'factor_transfer': 'Factor Transfer',
    'abloss': 'AB',
    'ofd': 'OFD',
    'msff': 'Multi-stage feature fusion',
    'mtkd_ssr': 'MTKD-SSR',
    'mjkd': 'MJKD',
    'tald': 'TALD',
    'jda': 'JDA',
    'ccd': 'CCD',
    'byot': 'BYOT',
    'dml': 'DML',
    'ffcl': 'FFCL',
}
HEADS = ['method', 'published (%)', 'source', 'last epoch (%)', 'best epoch (%)', 'n']


def published_cells(row):
    """A published figure, and where it was read: a name that the page has a link of."""
    if row is None:
        return ['-', '']
    accuracy = f'{row["accuracy"]} ± {row["std"]}' if row['std'] else row['accuracy']
    repository = row['source'].split('@')[0].split('/')[1]
    said = [row['epoch'] and f'{row["epoch"]} epoch', row['n'] and f'n = {row["n"]}']
    return [accuracy, ', '.join([repository, *filter(None, said)])]


def own_cells(runs):
    """Mean and sample standard deviation of the last and the best epoch, and the number of runs."""
    found = [
        mean_and_std([float(run[name]) for run in runs if run[name]])
        for name in ('accuracy', 'best')
    ]
    return [*map(spread, found), str(len(runs) or '-')]


def table(pair, published, runs):
    """The markdown table of a pair: what is published, and what has been trained here."""
    lines = [HEADS, ['---', '---:', '---', '---:', '---:', '---:']]
    there = methods_of(pair)
    for method, name in NAMES.items():
        if method not in there and (pair, method) not in published:
            continue
        own = [run for run in runs.values() if (run['pair'], run['method']) == (pair, method)]
        if method == 'teacher':
            # The same one in all runs, if they say so.
            values = {run['teacher'] for run in runs.values() if run['pair'] == pair} - {''}
            cells = [', '.join(sorted(values)) or '-', '', '']
        else:
            cells = own_cells(own)
        label = f'{name} (`{method}`)' if method in there else name
        lines.append([label, *published_cells(published.get((pair, method))), *cells])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def renew(page, published, runs):
    """The page with each table, below the command of its pair, as the files have it now."""

    def with_table(match):
        return f'{match[0].splitlines()[0]}\n\n{table(match[1], published, runs)}\n'

    # The line of a command, and the table below it if there is one yet.
    line = rf'^`{re.escape(COMMAND)} (\S+)`.*\n(?:\n(?:\|.*\n)+)?'
    return re.sub(line, with_table, page, flags=re.MULTILINE)


def write():
    """Renew the page."""
    page = PAGE.read_text(encoding='utf-8')
    PAGE.write_text(renew(page, read_published(), read_runs(RUNS)), encoding='utf-8')


if __name__ == '__main__':
    write()
