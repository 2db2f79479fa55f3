"""Python programs as processes with a time limit each."""

import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

PASSED, FAILED, OUT_OF_TIME, NOT_STARTED = 'passed', 'failed', 'out of time', 'not started'
# Seconds between the request to end and the end
GRACE = 3
# Bytes of output that are kept of a program
MOST_OUTPUT = 1_500_000


class Outcome(NamedTuple):
    """How a program ended.

    Attributes:
        status (str): ``PASSED``, ``FAILED``, ``OUT_OF_TIME`` or ``NOT_STARTED``.
        code (int | None): Exit status; negative: the signal that ended it.
        seconds (float): How long it ran.
        output (str): What it printed, its middle left out if it is long.
    """

    status: str
    code: int | None
    seconds: float
    output: str


def run(words, limit, log, start=None):
    """Run a Python program, and end it with all its processes at the limit.

    Args:
        words (Sequence[str]): Its path, or ``-m`` and a module, and arguments.
        limit (float): Seconds.
        log (Path): What it prints is appended to this file.
        start (Callable, optional): ``spawn`` or ``fork``. Defaults to None, ``spawn``.
    """
    if limit <= 0:
        return Outcome(NOT_STARTED, None, 0.0, '')
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open('ab') as file:
        file.write(f'\n$ python {" ".join(words)}\n'.encode())
        file.flush()
        beginning = file.tell()
        pid = (start or spawn)(words, file.fileno())
        try:
            status = wait(pid, began + limit)
        finally:
            end_group(pid)
    seconds = time.monotonic() - began
    output = shorten(log, beginning)
    if status is None:
        return Outcome(OUT_OF_TIME, None, seconds, output)
    code = os.waitstatus_to_exitcode(status)
    return Outcome(FAILED if code else PASSED, code, seconds, output)


def spawn(words, output):
    """Start a program in a new interpreter; returns its process, the leader of a group."""
    process = subprocess.Popen(
        [sys.executable, '-u', *words],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    return process.pid


def fork(words, output):
    """Start a program in a copy of this process, with whatever this has imported.

    Where CUDA does not work in a copy, because this process has touched it, the program gets a new
    interpreter.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # Whatever this process printed to; line by line, or a killed program would lose some.
        sys.stdout = os.fdopen(1, 'w', buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, 'w', buffering=1, closefd=False)
        os.environ.pop('PYTORCH_NVML_BASED_CUDA_CHECK', None)
        if not cuda_works():
            os.execv(sys.executable, [sys.executable, '-u', *words])
        code = call(words)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except ValueError:  # The program has closed them.
            pass
        finally:
            os._exit(code)


def cuda_works():
    """Whether a GPU can be used, or none is there."""
    import torch

    try:
        if torch.cuda.is_available():
            torch.zeros(1, device='cuda')
    except RuntimeError:
        return False
    return True


def call(words):
    """Run a program in this process; returns its exit status."""
    program, *arguments = words[1:] if words[0] == '-m' else words
    sys.argv = [program, *arguments]
    try:
        if words[0] == '-m':
            runpy.run_module(program, run_name='__main__', alter_sys=True)
        else:
            sys.path.insert(0, str(Path(program).parent))
            runpy.run_path(program, run_name='__main__')
    except SystemExit as ending:
        if isinstance(ending.code, str):
            print(ending.code, file=sys.stderr)
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    return 0


def wait(pid, until):
    """Wait for a process; returns its status, or None if it still runs at that time."""
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        if time.monotonic() >= until:
            return None
        time.sleep(0.02)


def end_group(pid):
    """End a process, and what it started and left behind."""
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        try:
            os.killpg(pid, number)
        except (ProcessLookupError, PermissionError):
            return
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:  # Only its children are left.
                time.sleep(0.02)
                break
            time.sleep(0.02)


def shorten(log, beginning):
    """Leave out the middle of what was appended to a log if it is long; returns what is left."""
    with log.open('r+b') as file:
        file.seek(beginning)
        found = file.read()
        if len(found) > MOST_OUTPUT:
            half = MOST_OUTPUT // 2
            left_out = len(found) - 2 * half
            middle = f'\n[... {left_out} bytes left out ...]\n'.encode()
            found = found[:half] + middle + found[-half:]
            file.seek(beginning)
            file.write(found)
            file.truncate()
    return found.decode(errors='replace')
