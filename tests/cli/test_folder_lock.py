"""One process at a time writes to a work folder."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from amkd_mm.cli import folder_lock
from amkd_mm.cli.folder_lock import held_for_child, hold, lock

# The module alone: the package takes seconds to import.
HOLD = f"""
import importlib.util, os, sys, time
spec = importlib.util.spec_from_file_location('folder_lock', {folder_lock.__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
try:
    module.hold(sys.argv[1], sys.argv[2])
except ValueError as error:
    sys.exit(str(error))
if 'fork' in sys.argv and os.fork() == 0:
    os.write(1, b'forked %d\\n' % os.getpid())
    time.sleep(60)
os.write(1, b'held\\n')
if 'wait' in sys.argv:
    time.sleep(60)
"""


@pytest.fixture
def start():
    processes = []

    def start(folder, *words, launcher='none', **env):
        process = subprocess.Popen(
            [sys.executable, '-c', HOLD, str(folder), launcher, *words],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_the_second_is_refused_until_the_first_ends(tmp_path, start):
    first = start(tmp_path / 'new', 'wait')
    assert first.stdout.readline() == 'held\n'

    _, error = start(tmp_path / 'new').communicate()
    assert 'another training writes to this folder' in error
    assert start(tmp_path / 'other').wait() == 0

    first.send_signal(signal.SIGKILL)
    first.wait()
    assert start(tmp_path / 'new').wait() == 0


def test_a_killed_process_holds_nothing_by_what_it_forked(tmp_path, start):
    first = start(tmp_path, 'fork', 'wait')
    lines = sorted(first.stdout.readline() for _ in range(2))
    worker = int(lines[0].split()[1])
    try:
        first.send_signal(signal.SIGKILL)
        first.wait()
        os.kill(worker, 0)  # It is still there.
        assert start(tmp_path).wait() == 0
    finally:
        os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize(
    ('launcher', 'variable'),
    [('pytorch', 'RANK'), ('slurm', 'SLURM_PROCID'), ('mpi', 'OMPI_COMM_WORLD_RANK')],
)
def test_processes_of_a_distributed_training_share_it(tmp_path, start, launcher, variable):
    first = start(tmp_path, 'wait', launcher=launcher, **{variable: '0'})
    assert first.stdout.readline() == 'held\n'

    assert start(tmp_path, launcher=launcher, **{variable: '1'}).wait() == 0
    assert start(tmp_path, launcher=launcher, **{variable: '0'}).wait() == 1
    # Left by a cluster around a training of one process.
    assert start(tmp_path, launcher='none', **{variable: '1'}).wait() == 1


def test_a_child_trains_in_the_folder_that_was_locked_for_it(tmp_path, start):
    with lock(tmp_path / 'run/.lock'):
        env = held_for_child(tmp_path / 'run')
        assert start(tmp_path / 'run', **env).wait() == 0
        assert start(tmp_path / 'run').wait() == 1
        with lock(tmp_path / 'else/.lock'):
            assert start(tmp_path / 'else', **env).wait() == 1


def test_a_process_may_train_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, '_held', {})
    monkeypatch.chdir(tmp_path)
    hold('run')
    hold(Path('run').resolve())
    assert lock(tmp_path / 'run/.lock') is None


@pytest.mark.parametrize('code', [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_drive_that_cannot_lock_does_without(tmp_path, monkeypatch, code):
    def flock(*_):
        raise OSError(code, 'no locks')

    monkeypatch.setattr(fcntl, 'flock', flock)
    with lock(tmp_path / '.lock') as file:
        assert file is not None
