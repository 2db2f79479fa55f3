"""Run all sections, each program with a time limit, and write the report after each of them."""

import argparse
import importlib
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from . import report
from .run import FAILED, PASSED, Outcome, fork, run, spawn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Seconds for all, so that a call of ten minutes ends with the report
DEADLINE = 585
# How much longer each may take in a rehearsal, where the time is not the point
PATIENCE = 3
NETWORKS = {'32': 'ResNet26/ResNet8', '224': 'ResNet-50/ResNet-18'}
SUITES = (
    'tests/attacks',
    'tests/teachers/test_folded_teacher.py',
    'tests/algorithms',
    'tests/hooks',
)
# At toy size: what takes seconds
FEW_TESTS = (
    'tests/attacks',
    'tests/teachers/test_chance_check.py',
    'tests/hooks/test_sample_hooks.py',
)
# What the measurements import; the first makes MMRazor importable.
PRELOADED = (
    'amkd_mm',
    'torch',
    'torchvision',
    'mmengine.runner',
    'mmpretrain',
    'mmpretrain.models',
    'mmpretrain.datasets',
    'mmrazor.models',
    'mmrazor.engine',
)
FULL = dict(
    images=5000,
    large_images=64,
    large_size=224,
    steps=400,
    large_steps=60,
    train_batch=256,
    large_batch=32,
    workers=max(1, min(12, (os.cpu_count() or 1) - 2)),
    batches=(256, 64),
    large_bench_batch=64,
    bench=dict(steps=10, warmup=3),
    attack=dict(samples=512, repeats=3),
    large_attack=dict(samples=128, repeats=2),
    timed=20,
    profiled=5,
    loader=(0, 1, 4, 8, 14),
    seconds=2.0,
    epochs=3,
    interval=10,
)
TOY = dict(
    images=8,
    large_images=3,
    # Below 33, a single boundary sample would be a single value for the last batch norm.
    large_size=48,
    steps=50,
    large_steps=12,
    train_batch=16,
    large_batch=8,
    workers=1,
    batches=(16,),
    large_bench_batch=8,
    bench=dict(steps=1, warmup=1),
    attack=dict(samples=16, repeats=1),
    large_attack=dict(samples=8, repeats=1),
    timed=3,
    profiled=1,
    loader=(0, 1),
    seconds=0.5,
    epochs=3,
    interval=2,
)


class Check:
    """All sections and what they found.

    Args:
        out (Path): Folder of the report and the logs.
        work (Path): Folder of everything else.
        rehearsed (bool): Whether to do all at toy size on a CPU.
    """

    def __init__(self, out, work, rehearsed):
        self.out, self.work, self.rehearsed = out, work, rehearsed
        self.size = TOY if rehearsed else FULL
        self.began = time.monotonic()
        self.found = dict(
            verdict=None, rehearsed=rehearsed, finished=False, seconds=0.0, machine={}, sections=[]
        )
        # Programs start in copies of this process once it has imported what they need.
        self.start = spawn

    def pair(self, edge, teacher_only=False):
        """Networks, and the size of their images."""
        names = NETWORKS[edge].partition('/')[0] if teacher_only else NETWORKS[edge]
        return f'{names}, {32 if edge == "32" else self.size["large_size"]} px'

    def left(self):
        whole = DEADLINE * (PATIENCE if self.rehearsed else 1)
        return whole - (time.monotonic() - self.began)

    def section(self, key, title, limit, programs):
        """Run programs one after another, within a limit for all; returns the section.

        Args:
            key (str): Its letter, or a name.
            title (str): What it is about.
            limit (float): Seconds.
            programs (Iterable[Program]): In the order in which they run.
        """
        limit *= PATIENCE if self.rehearsed else 1
        section = dict(key=key, title=title, limit=limit, seconds=0.0, verdict=None, programs=[])
        self.found['sections'].append(section)
        print(f'\n{key}: {title}, at most {limit} s', flush=True)
        began = time.monotonic()
        for name, words, read, start in programs:
            left = min(limit - (time.monotonic() - began), self.left())
            log = self.out / f'{key}.log'
            outcome = run(words, left, log, start or self.start)
            self.note(section, name, words, read, outcome)
            section['seconds'] = round(time.monotonic() - began, 1)
            self.write()
        return section

    def note(self, section, name, words, read, outcome):
        """Add a program's outcome to its section."""
        try:
            results = read() if read else {}
        except (OSError, ValueError, KeyError) as error:
            results = {}
            if outcome.status == PASSED:
                text = f'{outcome.output}\nno results: {type(error).__name__}: {error}'
                outcome = Outcome(FAILED, outcome.code, outcome.seconds, text)
        section['programs'].append(
            dict(
                name=name,
                command=' '.join(['python', *words]),
                status=outcome.status,
                code=outcome.code,
                seconds=round(outcome.seconds, 1),
                results=results,
                end='' if outcome.status == PASSED else outcome.output[-1500:],
            )
        )
        print(f'  {name}: {outcome.status}, {outcome.seconds:.0f} s', flush=True)

    def write(self):
        """Write the report of what has been found so far."""
        self.found['seconds'] = round(time.monotonic() - self.began, 1)
        report.judge(self.found)
        text = json.dumps(self.found, indent=1)
        (self.out / 'report.json').write_text(text, encoding='utf-8')
        (self.out / 'report.md').write_text(report.markdown(self.found), encoding='utf-8')

    def install(self, wheels):
        """Install carried wheels where this process and its programs find them first."""
        site = self.work / 'site'
        files = sorted(map(str, Path(wheels).glob('*.whl')))
        options = ['-q', '--no-index', '--no-deps', '--no-compile', '--target', str(site)]
        words = ['-m', 'pip', 'install', *options, *(files or [f'{wheels}/*.whl'])]
        self.section('setup', 'carried wheels', 60, [('wheels', words, None, spawn)])
        paths = [str(site), os.environ.get('PYTHONPATH', '')]
        os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
        sys.path.insert(0, str(site))

    def describe(self):
        """Look at the machine, and import here what programs need, if that works at all."""
        path = self.work / 'machine.json'
        program = ('machine', [str(HERE / 'machine.py'), str(path)], reader(path), spawn)
        section = self.section('setup', 'the machine', 90, [program])
        self.found['machine'] = section['programs'][0]['results']
        if section['programs'][0]['status'] == PASSED:
            # Or a look for a GPU would begin CUDA, which does not survive copying a process.
            os.environ['PYTORCH_NVML_BASED_CUDA_CHECK'] = '1'
            for name in PRELOADED:
                importlib.import_module(name)
            self.start = fork

    def prepare(self, archive):
        """Make or unpack images, and train the networks that the measurements need."""
        size, path = self.size, self.work / 'prepared.json'
        options = dict(
            json=path,
            images=size['images'],
            large_images=size['large_images'],
            large_size=size['large_size'],
            batch_size=size['train_batch'],
            steps=size['steps'],
            large_steps=size['large_steps'],
            large_batch_size=size['large_batch'],
            workers=size['workers'],
        )
        if archive:
            options['archive'] = archive
        words = [str(HERE / 'prepare.py'), str(self.work), *flags(options)]
        program = ('images and networks', words, reader(path), None)
        return self.section('setup', 'images and networks', 120, [program])

    def tests(self):
        """Section a."""
        device = 'cpu' if self.rehearsed else 'cuda'
        few = FEW_TESTS if self.rehearsed else SUITES
        cases = (
            ('tests marked cuda', ['-m', 'cuda', f'--device={device}', 'tests/gpu'], 4),
            ('suites', [f'--default-device={device}', *few], 8),
        )
        for name, options, processes in cases:
            path = self.work / f'{name}.jsonl'
            words = ['-m', 'pytest', '-q', '-rfE', '-p', 'gpu_check.pytest_results']
            words += ['-p', 'no:cacheprovider', f'--results={path}', *options]
            if (os.cpu_count() or 1) >= 8 and importlib.util.find_spec('xdist'):
                words += ['-n', str(processes)]
            yield name, words, partial(report.read_tests, path), spawn

    def benchmarks(self):
        """Section b."""
        size, tools = self.size, ROOT / 'tools/analysis_tools'
        # Mixed precision of a training needs a GPU, and that of an attack would take minutes.
        precisions = ([],) if self.rehearsed else ([], ['--amp'])
        batches = {'32': size['batches'], '224': (size['large_bench_batch'],)}
        steps = [
            (edge, batch, method, amp)
            for edge in NETWORKS
            for method in ('amkd', 'bss')
            for batch in batches[edge]
            for amp in precisions
            if not (edge == '224' and method == 'bss' and amp)
        ]
        for edge, batch, method, amp in steps:
            path = self.work / f'step-{method}-{edge}-{batch}{"".join(amp)}.json'
            words = [str(tools / 'benchmark_step.py'), str(self.work / f'{method}{edge}.py'), *amp]
            words += flags(dict(json=path, **size['bench']))
            words += ['--cfg-options', f'train_dataloader.batch_size={batch}']
            words += ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
            name = f'step, {method}, {self.pair(edge)}, batch {batch}, {precision(amp)}'
            yield name, words, reader(path), None
        for edge, of in (('32', size['attack']), ('224', size['large_attack'])):
            for amp in precisions:
                path = self.work / f'attack-{edge}{"".join(amp)}.json'
                words = [str(tools / 'benchmark_attack.py'), str(self.work / f'teacher{edge}.py')]
                words += [str(self.work / f'teacher{edge}.pth'), *amp]
                words += flags(
                    dict(
                        json=path,
                        num_samples=of['samples'],
                        repeats=of['repeats'],
                        batch_size=size['large_bench_batch'],
                    )
                )
                words += ['--cfg-options', 'val_dataloader.num_workers=0']
                words += ['val_dataloader.persistent_workers=False']
                name = f'attack, {self.pair(edge, teacher_only=True)}, {precision(amp)}'
                yield name, words, reader(path), None

    def steps(self):
        """Section c."""
        size = self.size
        batch, large = size['batches'][0], size['large_bench_batch']
        cases = [('amkd', '32', batch, []), ('kd', '32', batch, []), ('amkd', '224', large, [])]
        if not self.rehearsed:
            cases += [(method, edge, n, ['--amp']) for method, edge, n, _ in cases]
            cases.append(('bss', '32', batch, []))
        options = dict(timed=size['timed'], profiled=size['profiled'])
        for method, edge, number, amp in cases:
            path = self.work / f'profile-{method}-{edge}{"".join(amp)}.json'
            words = [str(HERE / 'step.py'), str(self.work / f'{method}{edge}.py'), *amp]
            words += flags(dict(options, json=path, batch_size=number))
            name = f'{method}, {self.pair(edge)}, batch {number}, {precision(amp)}'
            yield name, words, reader(path), None
        for edge, number in (('32', batch), ('224', large)):
            path = self.work / f'loader-{edge}.json'
            words = [str(HERE / 'step.py'), str(self.work / f'amkd{edge}.py')]
            words += flags(dict(options, json=path, batch_size=number, seconds=size['seconds']))
            words += ['--loader', *map(str, size['loader'])]
            yield f'loader, {self.pair(edge)}', words, reader(path), None

    def trainings(self):
        """Section d."""
        size = self.size
        for method in ('amkd', 'kd'):
            folder = self.work / 'work_dirs' / method
            words = [str(ROOT / 'tools/train.py'), str(self.work / f'{method}32.py')]
            words += ['--work-dir', str(folder), '--cfg-options', 'load_from=None']
            words += [f'train_cfg.max_epochs={size["epochs"]}']
            words += [f'train_cfg.val_interval={size["epochs"]}']
            words += [f'default_hooks.logger.interval={size["interval"]}']
            read = partial(report.read_training, folder, size['train_batch'])
            yield f'{method}, tools/train.py', words, read, None
        for name, alone in (('KD, bare PyTorch', []), ('student alone, bare PyTorch', ['--alone'])):
            path = self.work / f'bare{"".join(alone)}.json'
            words = [str(HERE / 'bare.py'), str(self.work), *alone]
            options = dict(epochs=size['epochs'], workers=size['workers'], json=path)
            words += flags(dict(options, batch_size=size['train_batch']))
            yield name, words, reader(path), None


def reader(path):
    """A function that reads a program's results, as JSON."""
    return lambda: json.loads(path.read_text(encoding='utf-8'))


def flags(options):
    """Options of a command line."""
    return [
        word
        for name, value in options.items()
        for word in (f'--{name.replace("_", "-")}', str(value))
    ]


def precision(amp):
    return 'mixed' if amp else 'full'


def main():
    parser = argparse.ArgumentParser(prog='gpu_check.sh', description=__doc__)
    parser.add_argument('--rehearse', action='store_true', help='on a CPU, at toy size')
    parser.add_argument('--keep', metavar='FOLDER', help='for data and runs, instead of a new one')
    args = parser.parse_args()
    out = Path(os.environ.get('OUT') or 'gpu_report').resolve()
    out.mkdir(parents=True, exist_ok=True)
    for old in [*out.glob('*.log'), *out.glob('report.*')]:
        old.unlink()
    # An outer limit ends this with a signal: then the report of what there is comes out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix='gpu_check_') as folder:
        work = Path(args.keep).resolve() if args.keep else Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        check = Check(out, work, args.rehearse)
        if args.rehearse:
            os.environ['CUDA_VISIBLE_DEVICES'] = ''
            # Small networks: more threads cost more by waiting than they bring.
            os.environ.setdefault('OMP_NUM_THREADS', '1')
        try:
            if os.environ.get('WHEELS'):
                check.install(os.environ['WHEELS'])
            check.describe()
            if not args.rehearse and not check.found['machine'].get('gpu'):
                check.found['problem'] = 'no GPU was found: on a CPU, add --rehearse'
            else:
                check.section('a', 'tests', 180, check.tests())
                check.prepare(os.environ.get('DATA'))
                check.section(
                    'b', 'benchmarks of the attack and of the step', 160, check.benchmarks()
                )
                check.section('c', 'where the time of a step goes', 65, check.steps())
                check.section('d', 'training from images', 110, check.trainings())
            check.found['finished'] = True
        finally:
            check.write()
            print('\n' + (out / 'report.md').read_text(encoding='utf-8'), flush=True)
    return 0 if check.found['verdict'] == PASSED else 1


if __name__ == '__main__':
    sys.exit(main())
