"""Trainings as processes, several at a time."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..cli.folder_lock import NAME, held_for_child, lock
from . import measured
from .records import NOTES, is_complete, read_lines

LOG = 'train.log'
# Seconds between looks at the running processes.
POLL = 0.2
# Last lines of a failed run's log that are shown.
TAIL = 12


@dataclass(frozen=True)
class Job:
    """One training: a seed of a config, in its folder.

    ``unit`` is 'epoch' or 'iter', and ``length`` the number of them.
    """

    name: str
    config: Path
    folder: Path
    unit: str
    length: int
    seed: int = 0
    options: tuple = ()

    @property
    def title(self) -> str:
        """Name in messages."""
        return f'{self.name}, seed {self.seed}'

    def is_complete(self) -> bool:
        """Whether there is nothing left to do."""
        return is_complete(self.folder, self.unit, self.length)

    def seconds(self) -> float:
        """What training took so far, all its starts together; 0 if that is unknown."""
        return sum(note['seconds'] for note in read_lines(self.folder / NOTES))


@dataclass
class Training:
    """A job that runs."""

    job: Job
    process: subprocess.Popen
    started: float


def start(job: Job, command: Sequence[str], env: dict[str, str], locked: IO) -> Training:
    """Start a job, which keeps the lock of its folder even if this process is killed."""
    # Isolated and without site-packages, to stay small.
    measuring = [sys.executable, '-I', '-S', measured.__file__, str(job.folder / NOTES)]
    with open(job.folder / LOG, 'wb') as log:
        process = subprocess.Popen(
            [*measuring, *command],
            env={**os.environ, **env, **held_for_child(job.folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[locked.fileno()],
        )
    return Training(job, process, time.time())


def stop(trainings: Sequence[Training]) -> None:
    """End jobs with all their processes."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        for training in trainings:
            if training.process.poll() is None:
                os.killpg(training.process.pid, kind)
        deadline = time.time() + 10
        while time.time() < deadline and any(t.process.poll() is None for t in trainings):
            time.sleep(POLL)


def error_of(job: Job, code: int) -> str | None:
    """Why a job that ended is not complete, with the end of its log; None if it is."""
    if job.is_complete():
        return None
    log = job.folder / LOG
    text = log.read_text(encoding='utf-8', errors='replace')
    # What torch's launcher adds says nothing of the cause, and is longer than what is shown.
    text = re.split(r'^.*elastic/multiprocessing/api\.py.* failed ', text, flags=re.M)[0] or text
    lines = text.splitlines()[-TAIL:]
    reason = f'exit code {code}' if code else f'no accuracy/top1 for {job.unit} {job.length}'
    return '\n'.join([f'{reason}, see {log}', *(f'    {line}' for line in lines)])


def train_all(
    jobs: Sequence[Job], slots: int, command_of: Callable, ended: Callable, show: Callable
) -> None:
    """Train jobs, ``slots`` at a time; a job that fails does not keep the others from it.

    A job that a process trains which an earlier call left behind is waited for.

    Args:
        jobs (Sequence[Job]): In their order. Complete ones are not trained again.
        slots (int): Number of jobs at a time.
        command_of (Callable): Gives the command line and the environment variables of a job in a
            slot.
        ended (Callable): Gets each job, its error or None, and whether it was complete before.
        show (Callable): Gets the running trainings and the waiting jobs, again and again.
    """
    done = [job for job in jobs if job.is_complete()]
    for job in done:
        ended(job, None, True)
    waiting, running = [job for job in jobs if job not in done], {}
    try:
        while waiting or running:
            for slot in set(range(slots)) - running.keys():
                job, locked = take(waiting)
                if job is None:
                    break
                with locked:
                    if job.is_complete():
                        ended(job, None, True)
                    else:
                        running[slot] = start(job, *command_of(job, slot), locked)
            show(list(running.values()), waiting)
            time.sleep(POLL)
            for slot, training in list(running.items()):
                code = training.process.poll()
                if code is not None:
                    del running[slot]
                    ended(training.job, error_of(training.job, code), False)
    finally:
        stop(list(running.values()))


def take(waiting: list[Job]) -> tuple[Job | None, IO | None]:
    """Remove the first job that no other process trains; returns it and its lock, or Nones."""
    for job in waiting:
        locked = lock(job.folder / NAME)
        if locked is not None:
            waiting.remove(job)
            return job, locked
    return None, None
