"""Trainings as processes, several at a time."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from ..cli.folder_lock import NAME, held_for_child, lock
from .records import NOTES, Run

LOG = 'train.log'
MEASURED = Path(__file__).with_name('measured.py')
# Seconds between looks at the running processes, and that they get to end when told to.
POLL, GRACE = 0.2, 10
# Last lines of a failed run's log that are shown.
TAIL = 12


def start(run: Run, command: Sequence[str], env: dict[str, str], locked: IO) -> psutil.Popen:
    """Start a run, which keeps the lock of its folder even if this process is killed."""
    # Isolated and without site-packages, to stay small.
    measuring = [sys.executable, '-I', '-S', str(MEASURED), str(run.folder / NOTES)]
    with open(run.folder / LOG, 'wb') as log:
        return psutil.Popen(
            [*measuring, *command],
            env={**os.environ, **env, **held_for_child(run.folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for this process, which then stops them.
            start_new_session=True,
            pass_fds=[locked.fileno()],
        )


def stop(processes: Sequence[psutil.Process]) -> None:
    """End processes with all that they started, those in sessions of their own included."""
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in list(processes):
            with suppress(psutil.NoSuchProcess):
                processes = [*processes, *process.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                end(process)
        _, processes = psutil.wait_procs(processes, timeout=GRACE)


def error_of(run: Run, code: int) -> str:
    """Why a run that ended is not complete, with the end of its log; empty if it is."""
    if run.is_complete():
        return ''
    log = run.folder / LOG
    text = log.read_text(encoding='utf-8', errors='replace')
    # What torch's launcher adds says nothing of the cause, and is longer than what is shown.
    text = re.split(r'^.*elastic/multiprocessing/api\.py.* failed ', text, flags=re.M)[0] or text
    wanted = f'{run.setting.unit} {run.setting.length}'
    reason = f'exit code {code}' if code else f'no accuracy/top1 for {wanted}'
    return '\n    '.join([f'{reason}, see {log}', *text.splitlines()[-TAIL:]])


def take(waiting: list[Run]) -> tuple[Run | None, IO | None]:
    """Remove the first run that no other process trains; returns it and its lock, or Nones."""
    for run in waiting:
        locked = lock(run.folder / NAME)
        if locked is not None:
            waiting.remove(run)
            return run, locked
    return None, None


def train_all(
    runs: Sequence[Run], slots: int, command_of: Callable, ended: Callable, show: Callable
) -> None:
    """Train runs, ``slots`` at a time; one that fails does not keep the others from it.

    A run that a process trains which an earlier call left behind is waited for.

    Args:
        runs (Sequence[Run]): In their order. Complete ones are read and not trained again.
        slots (int): Number of runs at a time.
        command_of (Callable): Gives the command line and the environment variables of a run in a
            slot.
        ended (Callable): Gets each run, complete or failed, and whether it was complete before.
        show (Callable): Gets the running and the waiting runs, again and again.
    """
    done = [run for run in runs if run.is_complete()]
    for run in done:
        ended(run.read(), True)
    waiting = [run for run in runs if run not in done]
    # By slot: a run and its process.
    running = {}
    try:
        while waiting or running:
            for slot in set(range(slots)) - running.keys():
                run, locked = take(waiting)
                if run is None:
                    break
                with locked:
                    if run.is_complete():
                        ended(run.read(), True)
                    else:
                        running[slot] = run, start(run, *command_of(run, slot), locked)
            show([run for run, _ in running.values()], waiting)
            time.sleep(POLL)
            for slot, (run, process) in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[slot]
                run.error = error_of(run, code)
                if run.error:
                    run.status = 'failed'
                else:
                    run.read()
                ended(run, False)
    finally:
        stop([process for _, process in running.values()])
