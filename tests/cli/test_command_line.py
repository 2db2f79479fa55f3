"""The command ``amkd_mm``; from a wheel it runs in ``test_packaging.py``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amkd_mm.cli import command_line
from amkd_mm.cli.command_line import commands
from amkd_mm.compat.lines import LINES

ROOT = Path(__file__).resolve().parents[2]
# Says at the end of the process whether PyTorch was imported.
WATCH = """
import atexit, sys
atexit.register(lambda: print('torch' in sys.modules))
"""


def run(*words, cwd, folders=(), program=('-m', 'amkd_mm'), **options):
    paths = [*map(str, folders), str(ROOT), os.environ.get('PYTHONPATH', '')]
    return subprocess.run(
        [sys.executable, *program, *map(str, words)],
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths)), **options},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def script(tmp_path):
    """What pip makes of the entry point."""
    path = tmp_path / 'bin' / 'amkd_mm'
    path.parent.mkdir()
    path.write_text('import sys\nfrom amkd_mm.__main__ import main\nsys.exit(main())\n')
    return path


def test_every_tool_is_a_command():
    tools = [path for path in (ROOT / 'tools').rglob('*') if path.suffix in ('.py', '.sh')]
    assert sorted(path.resolve() for path in commands().values()) == sorted(tools)
    assert {'train', 'test', 'check', 'export', 'benchmark', 'quickstart'} <= set(commands())
    assert command_line.find('check_pair') == command_line.find('check')


@pytest.mark.parametrize('words', [['--help'], []])
@pytest.mark.parametrize('is_script', [False, True])
def test_help_does_not_wait_for_torch(words, is_script, script, tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(WATCH)
    program = dict(program=(str(script),)) if is_script else {}
    done = run(*words, cwd=tmp_path, folders=[tmp_path], **program)
    assert done.returncode == 0, done.stderr
    text, _, loaded = done.stdout.strip().rpartition('\n')
    assert loaded == 'False'
    name = 'amkd_mm' if is_script else 'python -m amkd_mm'
    assert text.startswith(f'usage: {name} [-h]')
    lines = dict(line.split(maxsplit=1) for line in text.partition('commands:\n')[2].splitlines())
    assert set(lines) == set(commands())
    assert lines['check'].startswith('Check a student and a teacher before training')
    assert lines['dist_train'].startswith('Train with several GPUs')


def test_unknown_command_names_the_nearest(tmp_path):
    done = run('benchmrk', cwd=tmp_path)
    assert done.returncode == 2
    assert 'no such command: benchmrk; did you mean `benchmark`?' in done.stderr


@pytest.mark.parametrize('is_script', [False, True])
def test_tool_gets_its_arguments_and_says_how_it_was_called(is_script, script, tmp_path):
    program = dict(program=(str(script),)) if is_script else {}
    done = run('train', 'kd/absent.py', '--amp', cwd=tmp_path, **program)
    assert done.returncode == 2
    name = 'amkd_mm' if is_script else 'python -m amkd_mm'
    assert f'usage: {name} train [-h]' in done.stderr
    assert f'{name} train: error: config: no such file: kd/absent.py' in done.stderr


def test_tool_of_mmpretrain(tmp_path):
    done = run('analyze_logs', '--help', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('usage: python -m amkd_mm analyze_logs')
    assert 'plot_curve' in done.stdout


def test_shell_script_runs_this_python(tmp_path):
    other = tmp_path / 'path' / 'python'
    other.parent.mkdir()
    other.write_text('#!/bin/sh\necho another python\n')
    other.chmod(0o755)
    path = os.pathsep.join([str(other.parent), os.environ['PATH']])
    done = run('dist_train', 'absent.py', '1', '--amp', cwd=tmp_path, PATH=path)
    assert 'another python' not in done.stdout
    assert 'config: no such file: absent.py' in done.stderr
    usage = run('dist_train', cwd=tmp_path)
    assert usage.returncode != 0
    assert 'dist_train.sh CONFIG GPUS' in usage.stderr


def test_without_mmcv_the_message_has_the_commands(tmp_path):
    # A finder that finds nothing, as if it were not installed.
    (tmp_path / 'sitecustomize.py').write_text(
        'import sys, importlib.machinery as m\n'
        'find = m.PathFinder.find_spec\n'
        'class Finder:\n'
        '    @staticmethod\n'
        '    def find_spec(name, path=None, target=None):\n'
        "        return None if name == 'mmcv' else find(name, path, target)\n"
        'sys.meta_path[sys.meta_path.index(m.PathFinder)] = Finder\n'
    )
    done = run('train', 'x.py', cwd=tmp_path, folders=[tmp_path])
    assert done.returncode == 1
    assert done.stderr.startswith('python -m amkd_mm: error: ')
    assert all(line.command in done.stderr for line in LINES)
    assert 'Traceback' not in done.stderr
    imported = run(cwd=tmp_path, folders=[tmp_path], program=('-c', 'import amkd_mm'))
    assert all(line.command in imported.stderr.splitlines()[-1] for line in LINES)
