"""The report: what programs left behind, read, judged and written as Markdown."""

import json
import statistics

from .run import FAILED, NOT_STARTED, PASSED

MEBIBYTE = 2**20
SECTIONS = 'abcd'


def read_tests(path):
    """Counts of outcomes, failures, reasons of skips and properties, of pytest_results' lines."""
    lines = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
    counts, skips = {}, {}
    for line in lines:
        counts[line['outcome']] = counts.get(line['outcome'], 0) + 1
        if line['outcome'] == 'skipped':
            reason = line['message'].removeprefix('Skipped: ')
            skips[reason] = skips.get(reason, 0) + 1
    failures = {line['test']: line['message'] for line in lines if line['outcome'] == 'failed'}
    properties = {line['test']: line['properties'] for line in lines if line['properties']}
    return dict(counts=counts, failures=failures, skips=skips, properties=properties)


def read_training(folder, batch_size):
    """Images a second of each epoch, by the times in a training's log.

    The first epoch has the start of everything in it. Times are of whole steps with their loading,
    validation excluded.
    """
    (path,) = folder.glob('*/vis_data/scalars.json')
    epochs = {}
    for line in path.read_text(encoding='utf-8').splitlines():
        scalars = json.loads(line)
        if 'time' in scalars and 'epoch' in scalars:
            epochs.setdefault(scalars['epoch'], []).append(scalars)
    rates = [
        round(batch_size / statistics.mean(s['time'] for s in lines), 1)
        for _, lines in sorted(epochs.items())
    ]
    last = [scalars for epoch, lines in epochs.items() if epoch > 1 for scalars in lines]
    total = sum(scalars['time'] for scalars in last)
    waiting = sum(scalars['data_time'] for scalars in last) / total if total else None
    samples = [scalars.get('boundary/samples', 0.0) for scalars in last]
    return dict(
        rates=rates,
        waiting=waiting,
        boundary_samples=statistics.mean(samples) if samples else 0.0,
    )


def judge(found):
    """Fill in the verdicts of all sections and of the whole."""
    for section in found['sections']:
        passed = section['programs'] and all(p['status'] == PASSED for p in section['programs'])
        section['verdict'] = PASSED if passed else FAILED
    there = {section['key'] for section in found['sections']}
    complete = found['finished'] and there >= set(SECTIONS)
    passed = complete and all(section['verdict'] == PASSED for section in found['sections'])
    found['verdict'] = PASSED if passed else FAILED


def markdown(found):
    """The whole report as text."""
    failed = [s['key'] for s in found['sections'] if s['verdict'] != PASSED]
    missing = [key for key in SECTIONS if key not in {s['key'] for s in found['sections']}]
    title = f'# GPU check: {found["verdict"]}'
    lines = [title + (f' ({", ".join(dict.fromkeys(failed))})' if failed else ''), '']
    if found['rehearsed']:
        lines += ['**Rehearsed on a CPU at toy size: no figure below says anything of a GPU.**', '']
        lines += ['Nothing is measured in mixed precision, and the limits are wide.', '']
    if found.get('problem'):
        lines += [f'**{found["problem"][0].upper()}{found["problem"][1:]}.**', '']
    if not found['finished'] or missing:
        lines += [f'Not all was run; missing: {", ".join(missing) or "the end"}.', '']
    lines += machine(found['machine']) + [f'{found["seconds"]:.0f} s in all.', '']
    lines += ['| section | verdict | seconds | limit |', '| --- | --- | ---: | ---: |']
    for s in found['sections']:
        name = s['title'] if s['key'] == 'setup' else f'{s["key"]}: {s["title"]}'
        lines.append(f'| {name} | {s["verdict"]} | {s["seconds"]:.0f} | {s["limit"]} |')
    lines += ['', *problems(found)]
    tables = dict(a=tests, b=benchmarks, c=steps, d=trainings, setup=setup)
    for section in found['sections']:
        lines += tables[section['key']](section, ' (rehearsed)' if found['rehearsed'] else '')
    return '\n'.join(lines).rstrip() + '\n'


def machine(found):
    """A table of the machine."""
    if not found:
        return ['Nothing is known of the machine: its description failed.', '']
    cells = [f'| {key.replace("_", " ")} | {value} |' for key, value in found.items()]
    return ['| machine | |', '| --- | --- |', *cells, '']


def problems(found):
    """What failed, with the end of what it printed."""
    lines = []
    for section in found['sections']:
        for program in section['programs']:
            if program['status'] == PASSED:
                continue
            lines.append(
                f'**{section["key"]}, {program["name"]}: {program["status"]}** after '
                f'{program["seconds"]:.0f} s; `{section["key"]}.log` has all of it.'
            )
            if program['status'] == NOT_STARTED:
                lines[-1] = f'**{section["key"]}, {program["name"]}: not started**, no time left.'
            # A table of pytest's failures says more.
            if program['end'].strip() and not program['results'].get('failures'):
                end = program['end'].strip().splitlines()[-8:]
                lines += ['', '```text', *(line[:200] for line in end), '```']
            lines.append('')
    return lines


def table(head, rows):
    """A Markdown table; all columns but the first are numbers."""
    if not rows:
        return ['Nothing was measured.', '']
    return [
        f'| {" | ".join(head)} |',
        '| --- |' + ' ---: |' * (len(head) - 1),
        *(f'| {" | ".join(row)} |' for row in rows),
        '',
    ]


def number(value, digits=0):
    """A number as text, and what is not known as a dash."""
    return '–' if value is None else f'{value:,.{digits}f}'


def share(value):
    return '–' if value is None else f'{value:.0%}'


def setup(section, label):
    """What was made or unpacked."""
    results = [p['results'] for p in section['programs'] if p['name'] == 'images and networks']
    if not results or not results[0]:
        return []
    facts = []
    for name, value in results[0].items():
        if isinstance(value, dict):
            value = ' and '.join(f'{n:,} {part}' for part, n in value.items())
        facts.append(f'{name}: {value}')
    return [f'## Images and networks{label}', '', '; '.join(facts) + '.', '']


def tests(section, label):
    """Counts, failures and reasons of skips."""
    lines = [f'## a: tests{label}', '']
    rows = []
    for program in section['programs']:
        counts = program['results'].get('counts', {})
        cells = [str(counts.get(kind, 0)) for kind in ('passed', 'failed', 'skipped')]
        rows.append([program['name'], *cells, f'{program["seconds"]:.0f} s'])
    lines += table(('', 'passed', 'failed', 'skipped', 'time'), rows)
    for program in section['programs']:
        for test, message in program['results'].get('failures', {}).items():
            first = message.splitlines()[0][:200] if message else ''
            lines.append(f'- failed: `{test}`: {first}')
        for reason, times in program['results'].get('skips', {}).items():
            lines.append(f'- skipped, {times} of {program["name"]}: {reason[:200]}')
        for test, properties in program['results'].get('properties', {}).items():
            facts = ', '.join(f'{name} {value}' for name, value in properties.items())
            lines.append(f'- `{test.rpartition("::")[2]}`: {facts}')
    return [*lines, '']


def benchmarks(section, label):
    """Steps and attacks, one row each."""
    of_steps, of_attacks = [], []
    for program in section['programs']:
        results, name = program['results'], program['name']
        timed = {**results.get('iterations', {}), **results.get('steps', {})}
        for step, seconds in timed.items():
            alone = statistics.median(results['steps']['passes of AMKD alone'])
            median = statistics.median(seconds)
            peak = results['peaks'].get(step)
            # The tool calls a distillation with boundary samples AMKD, whichever it is.
            method = 'BSS' if name.startswith('step, bss') else 'AMKD'
            of_steps.append(
                [
                    name.removeprefix('step, '),
                    step.replace('AMKD', method),
                    number(1000 * median, 1),
                    number(1000 * min(seconds), 1),
                    number(median / alone, 2),
                    number(results['batch_size'] / median),
                    number(peak and peak / MEBIBYTE),
                ]
            )
        for attack, row in results.get('attacks', {}).items():
            seconds = statistics.median(row['seconds'])
            of_attacks.append(
                [
                    name.removeprefix('attack, '),
                    attack,
                    number(1000 * seconds / results['samples'], 3),
                    number(row['forward'], 1),
                    number(row['gradient'], 1),
                    number(row['probability_gap'], 4),
                    number(row['probability_gap_90'], 4),
                    share(row['reached']),
                ]
            )
    head = (
        'config',
        'step',
        'ms, median',
        'ms, least',
        'relative to the passes',
        'images/s',
        'peak MiB',
    )
    of = ('config', 'attack', 'ms a sample', 'forward', 'gradients', 'gap', 'gap 90%', 'reached')
    return [
        f'## b: benchmarks{label}',
        '',
        'Median wall time with the GPU waited for, without loading. Passes alone are those of the '
        'same networks as bare calls; the gap is that of two probabilities, median and 90%.',
        '',
        *table(head, of_steps),
        *table(of, of_attacks),
    ]


def steps(section, label):
    """Kernels, synchronisations, idle share; the loader."""
    rows, loaders, details = [], [], []
    for program in section['programs']:
        r, name = program['results'], program['name']
        if 'loader' in r:
            rates = ', '.join(f'{n} workers {rate:,.0f}' for n, rate in r['loader'].items())
            loaders.append(f'- {name}: images/s with {rates}')
        elif r:
            rows.append(
                [
                    name,
                    number(r['step_ms'], 1),
                    number(r['busy_ms'] if r['kernels'] else None, 1),
                    share(r.get('idle')),
                    number(r['kernels'] or None),
                    number(r['launches'] or None),
                    number(r['copies'] or None),
                    number(r.get('synchronisations'), 1),
                    number(r['operators']),
                    number(r['boundary_samples'], 1),
                    number(r['images_per_second']),
                    number(r.get('peak_mib')),
                ]
            )
            if r.get('places'):
                places = ', '.join(f'{place} ({n:g})' for place, n in r['places'].items())
                details.append(f'- {name} waits at: {places}')
            if r.get('longest'):
                longest = ', '.join(f'`{k}` {share(v)}' for k, v in r['longest'].items())
                details.append(f'- {name}, longest kernels: {longest}')
    head = ('config', 'ms a step', 'GPU ms', 'GPU idle', 'kernels', 'launches', 'copies')
    head += ('synchronisations', 'operators', 'boundary samples', 'images/s', 'peak MiB')
    return [
        f'## c: where the time of a step goes{label}',
        '',
        'A training step with all hooks, without loading: numbers are of one step; "GPU ms" is the '
        'time in which the GPU does something, by the profiler.',
        '',
        *table(head, rows),
        *details,
        '',
        *loaders,
        '',
    ]


def trainings(section, label):
    """Images a second, end to end."""
    rows = []
    for program in section['programs']:
        r = program['results']
        if not r:
            continue
        rates = r['rates']
        later = rates[1:] or rates
        rows.append(
            [
                program['name'],
                number(statistics.mean(later)),
                ', '.join(number(rate) for rate in rates),
                share(r.get('waiting')),
                number(r.get('boundary_samples'), 1),
            ]
        )
    head = ('training', 'images/s', 'by epoch', 'time waiting for data', 'boundary samples a step')
    return [
        f'## d: training from images{label}',
        '',
        'Epochs after the first, loading included; the same networks, batch and workers.',
        '',
        *table(head, rows),
    ]
