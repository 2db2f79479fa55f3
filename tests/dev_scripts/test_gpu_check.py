"""The GPU check away from a GPU: limits of programs, the report, and the figures of a trace."""

import json
import os
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def check(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / '.dev_scripts'))
    import gpu_check.__main__
    import gpu_check.report
    import gpu_check.run
    import gpu_check.trace

    return gpu_check


@pytest.fixture
def programs(tmp_path):
    """Paths of small programs."""
    texts = dict(
        good='print("well")',
        bad='print("oh"); raise ValueError("no")',
        silent='',
        refuses='import sys; sys.exit(3)',
        says='raise SystemExit("that is why")',
        endless='import time\nprint("begun", flush=True)\nwhile True: time.sleep(0.1)',
        # A child of its own, as a loader's worker, and deaf to requests
        stubborn='import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n'
        'pid = os.fork()\nprint(os.getpid(), flush=True)\nwhile True: time.sleep(0.1)',
        chatty='print("first"); print("x" * 5_000_000); print("last")',
    )
    for name, text in texts.items():
        (tmp_path / f'{name}.py').write_text(text)
    return lambda name: str(tmp_path / f'{name}.py')


@pytest.fixture(params=['spawn', 'fork'])
def start(check, request):
    return getattr(check.run, request.param)


@pytest.mark.parametrize(
    ('name', 'status', 'code', 'text'),
    [
        ('good', 'passed', 0, 'well'),
        ('bad', 'failed', 1, 'ValueError: no'),
        ('silent', 'passed', 0, ''),
        ('refuses', 'failed', 3, ''),
        ('says', 'failed', 1, 'that is why'),
    ],
)
def test_how_a_program_ended(name, status, code, text, check, programs, start, tmp_path):
    outcome = check.run.run([programs(name)], 60, tmp_path / 'log', start)
    assert (outcome.status, outcome.code) == (status, code)
    assert text in outcome.output
    if not text:
        assert outcome.output == ''
    assert text in (tmp_path / 'log').read_text()


def test_arguments_and_modules(check, start, tmp_path):
    path = tmp_path / 'found.json'
    program = tmp_path / 'program.py'
    program.write_text(
        'import json, sys\njson.dump([sys.argv[1:], __name__], open(sys.argv[1], "w"))'
    )
    assert check.run.run([str(program), str(path), '-x'], 60, tmp_path / 'log', start).code == 0
    assert json.loads(path.read_text()) == [[str(path), '-x'], '__main__']
    outcome = check.run.run(['-m', 'json.tool', str(path)], 60, tmp_path / 'log', start)
    assert outcome.status == 'passed'
    assert '"__main__"' in outcome.output


def runs(number):
    """Whether a process is there and not just waiting for someone to note its end."""
    try:
        state = Path(f'/proc/{number}/stat').read_text().rpartition(')')[2].split()[0]
    except FileNotFoundError:
        return False
    return state != 'Z'


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='looks into /proc')
@pytest.mark.parametrize('name', ['endless', 'stubborn'])
def test_a_limit_ends_all_processes_and_keeps_the_output(
    name, check, programs, start, tmp_path, monkeypatch
):
    monkeypatch.setattr(check.run, 'GRACE', 0.5)
    began = time.monotonic()
    outcome = check.run.run([programs(name)], 2, tmp_path / 'log', start)
    assert outcome.status == 'out of time'
    assert 2 <= time.monotonic() - began < 20
    if name == 'endless':
        assert outcome.output == 'begun\n'
    else:
        numbers = outcome.output.split()
        assert len(numbers) == 2
        until = time.monotonic() + 10
        while any(map(runs, numbers)) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(map(runs, numbers))


def test_no_time_left(check, programs, tmp_path):
    outcome = check.run.run([programs('good')], 0, tmp_path / 'log')
    assert outcome.status == 'not started'


def test_long_output_loses_its_middle(check, programs, tmp_path):
    log = tmp_path / 'log'
    outcome = check.run.run([programs('chatty')], 60, log)
    assert log.stat().st_size < 2_000_000
    assert outcome.output.startswith('first\n')
    assert outcome.output.endswith('last\n')
    assert 'left out' in outcome.output


def run_sections(check, out, programs, names):
    """A check whose four sections are a program each."""
    out.mkdir(exist_ok=True)
    found = check.__main__.Check(out, out / 'work', rehearsed=False)
    for key, name in zip('abcd', names, strict=False):
        read = None
        if name == 'good without results':
            name, read = 'good', check.__main__.reader(out / 'nothing.json')
        limit = 1 if name == 'endless' else 30
        found.section(key, f'title of {key}', limit, [(name, [programs(name)], read, None)])
    found.found['finished'] = True
    found.write()
    return json.loads((out / 'report.json').read_text()), (out / 'report.md').read_text()


def test_failures_do_not_end_the_check(check, programs, tmp_path):
    found, text = run_sections(
        check, tmp_path / 'out', programs, ['bad', 'endless', 'good without results', 'silent']
    )
    assert {s['key']: s['verdict'] for s in found['sections']} == dict(
        a='failed', b='failed', c='failed', d='passed'
    )
    assert found['verdict'] == 'failed'
    assert text.startswith('# GPU check: failed (a, b, c)\n')
    assert 'ValueError: no' in text
    assert 'b, endless: out of time' in text
    assert 'no results: FileNotFoundError' in text
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'report.md',
        'report.json',
        *(f'{key}.log' for key in 'abcd'),
    }


def test_all_sections_must_have_passed(check, programs, tmp_path):
    found, text = run_sections(check, tmp_path / 'whole', programs, ['good'] * 4)
    assert found['verdict'] == 'passed'
    assert text.startswith('# GPU check: passed\n')
    found, text = run_sections(check, tmp_path / 'part', programs, ['good'] * 3)
    assert found['verdict'] == 'failed'
    assert 'missing: d' in text


def test_report_without_a_gpu_says_what_to_do(check, tmp_path):
    found = dict(
        verdict='failed',
        rehearsed=False,
        finished=True,
        seconds=3.0,
        machine={},
        sections=[],
        problem='no GPU was found',
    )
    text = check.report.markdown(found)
    assert '**No GPU was found.**' in text
    assert 'missing: a, b, c, d' in text


def test_each_table_has_what_was_measured(check):
    """And a label on every section of a rehearsal."""

    def section(key, name, results):
        program = dict(name=name, status='passed', code=0, seconds=1.0, end='', results=results)
        return dict(key=key, title=key, limit=9, seconds=1.0, verdict='passed', programs=[program])

    kinds = {'AMKD': [0.2, 0.4, 0.3], 'passes of AMKD alone': [0.2, 0.2, 0.2], 'KD': [0.1] * 3}
    gaps = dict(probability_gap=0.0171, probability_gap_90=0.05)
    attack = dict(seconds=[0.512], forward=4.25, gradient=2, reached=0.99, **gaps)
    step = dict(
        step_ms=40.0,
        busy_ms=10.0,
        idle=0.75,
        kernels=1234.0,
        launches=1300.0,
        copies=7,
        synchronisations=21.5,
        operators=900,
        boundary_samples=58.0,
        images_per_second=6400,
        places={'attacks/boundary_search.py:99': 8.0},
        longest={'volta_sgemm': 0.4},
    )
    sections = [
        section('a', 'suites', dict(counts=dict(passed=7, failed=1), failures={'t::x': 'oops'})),
        section(
            'b',
            'step, amkd',
            dict(
                iterations={'KD, Runner': [0.3, 0.4, 0.8]},
                steps=kinds,
                peaks={'AMKD': 2**21},
                batch_size=60,
            ),
        ),
        section('b', 'step, bss', dict(steps=kinds, peaks={}, batch_size=60)),
        section('b', 'attack, 32 px', dict(attacks=dict(BoundarySearch=attack), samples=512)),
        section('c', 'amkd, 32 px', step),
        section('c', 'loader, 32 px', dict(loader={'0': 1500.0, '8': 9000.4})),
        section('d', 'amkd', dict(rates=[10.0, 200.0, 300.0], waiting=0.25, boundary_samples=60)),
    ]
    found = dict(rehearsed=True, finished=True, seconds=9.0, machine=dict(gpu='X'))
    found['sections'] = sections
    check.report.judge(found)
    text = check.report.markdown(found)
    for row in (
        '| suites | 7 | 1 | 0 | 1 s |',
        '- failed: `t::x`: oops',
        '| amkd | KD, Runner | 400.0 | 300.0 | 2.00 | 150 | – |',
        '| amkd | AMKD | 300.0 | 200.0 | 1.50 | 200 | 2 |',
        '| bss | passes of BSS alone | 200.0 | 200.0 | 1.00 | 300 | – |',
        '| 32 px | BoundarySearch | 1.000 | 4.2 | 2.0 | 0.0171 | 0.0500 | 99% |',
        '| amkd, 32 px | 40.0 | 10.0 | 75% | 1,234 | 1,300 | 7 | 21.5 | 900 | 58.0 | 6,400 | – |',
        'attacks/boundary_search.py:99 (8)',
        '0 workers 1,500, 8 workers 9,000',
        '| amkd | 250 | 10, 200, 300 | 25% | 60.0 |',
    ):
        assert row in text
    headings = [line for line in text.splitlines() if line.startswith('## ')]
    assert len(headings) == 7
    assert all(line.endswith('(rehearsed)') for line in headings)


def test_figures_of_a_trace(check):
    """By hand: two steps, kernels that overlap, and one that waits."""

    def event(category, name, begin, length):
        return dict(ph='X', cat=category, name=name, ts=begin, dur=length)

    events = [
        dict(ph='M', name='process_name'),
        event('cpu_op', 'aten::mm', 0, 5),
        event('cuda_runtime', 'cudaLaunchKernel', 1, 2),
        event('cuda_runtime', 'cudaLaunchKernel', 4, 2),
        event('cuda_driver', 'cuLaunchKernelEx', 6, 2),
        event('cuda_runtime', 'cudaStreamSynchronize', 9, 50),
        event('kernel', 'gemm', 10, 3000),
        event('kernel', 'relu', 2010, 2000),
        event('kernel', 'gemm', 9000, 1000),
        event('gpu_memcpy', 'Memcpy HtoD', 9500, 100),
    ]
    found = check.trace.figures(events, steps=2)
    assert found['kernels'] == 1.5
    assert found['copies'] == 0.5
    assert found['launches'] == 1.5
    assert found['operators'] == 0.5
    # From 10 to 4010 and from 9000 to 10000 microseconds.
    assert found['busy_ms'] == pytest.approx(2.5)
    assert found['longest']['gemm'] == pytest.approx(4000 / 6100)


def test_a_trace_of_this_processor(check):
    matrix = torch.ones(4, 4)
    with check.trace.trace() as events:
        for _ in range(3):
            matrix.mm(matrix)
    names = [event['name'] for event in events if event.get('cat') == 'cpu_op']
    assert names.count('aten::mm') == 3
    assert check.trace.figures(events, 3)['kernels'] == 0


def test_synchronisations_are_counted_by_place(check):
    class Warned:
        def __init__(self, text, line):
            self.message, self.filename, self.lineno = UserWarning(text), '/a/b/attack.py', line

    places = check.trace.Places()
    for text, line in (
        ('called a synchronizing CUDA operation (Triggered internally at x.)', 7),
        ('called a synchronizing CUDA operation', 7),
        ('something else', 8),
        ('called a synchronizing CUDA operation', 9),
    ):
        places.note(Warned(text, line))
    assert places == {'b/attack.py:7': 2, 'b/attack.py:9': 1}
    assert places.number == 3


def test_images_a_second_of_a_training(check, tmp_path):
    folder = tmp_path / '20260101_000000/vis_data'
    folder.mkdir(parents=True)
    lines = [
        dict(epoch=1, iter=2, time=2.0, data_time=1.0),
        dict(epoch=2, iter=4, time=0.5, data_time=0.1),
        dict(epoch=2, iter=6, time=0.3, data_time=0.1, **{'boundary/samples': 8.0}),
        {'accuracy/top1': 10.0, 'step': 3},
    ]
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    found = check.report.read_training(tmp_path, 32)
    assert found['rates'] == [16.0, 80.0]
    assert found['waiting'] == pytest.approx(0.25)
    assert found['boundary_samples'] == 4.0


TESTS = """
import pytest

def test_right(record_property):
    record_property('kernels', 12)

def test_wrong():
    assert 1 == 2

def test_skipped():
    pytest.skip('has no meaning on a CPU')

@pytest.fixture
def broken():
    raise KeyError('gone')

def test_broken(broken):
    pass
"""


def test_outcomes_of_tests(check, tmp_path, monkeypatch):
    (tmp_path / 'test_some.py').write_text(TESTS)
    monkeypatch.setenv('PYTHONPATH', str(ROOT / '.dev_scripts'))
    results = tmp_path / 'results.jsonl'
    words = ['-m', 'pytest', '-p', 'gpu_check.pytest_results', f'--results={results}']
    words += ['-c', os.devnull, f'--rootdir={tmp_path}', str(tmp_path / 'test_some.py')]
    outcome = check.run.run(words, 120, tmp_path / 'log')
    assert outcome.status == 'failed'
    found = check.report.read_tests(results)
    assert found['counts'] == dict(passed=1, failed=2, skipped=1)
    assert found['skips'] == {'has no meaning on a CPU': 1}
    messages = {name.rpartition('::')[2]: text for name, text in found['failures'].items()}
    assert 'assert 1 == 2' in messages['test_wrong']
    assert 'gone' in messages['test_broken']
    assert [list(p.values()) for p in found['properties'].values()] == [[12]]
