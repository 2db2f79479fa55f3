"""What a benchmark prints while it runs."""

import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import timedelta

from .records import accuracy_in, epoch_length, read_scalars
from .running import Job, Training

# Seconds between lines while nothing happens, and between looks at the logs for a terminal's line.
REPORT, LOOK = 600, 1


class Progress:
    """Prints what happens.

    On a terminal the last line says at any time how far the runs are, and is written anew.
    Elsewhere there is such a line when a run begins, and every ten minutes.

    Args:
        total (int): Number of jobs.
        slots (int): Number of jobs at a time.
    """

    def __init__(self, total: int, slots: int) -> None:
        self.total, self.slots, self.done = total, slots, 0
        self.started = time.time()
        # Seconds of complete runs, by config.
        self.seconds = {}
        self.shown = None, 0
        # Where each run stood when it was first seen: it may have been resumed.
        self.first = {}
        self.line = ''

    def ended(self, job: Job, error: str | None, skipped: bool) -> None:
        """Count a job and say how it ended."""
        self.done += 1
        seconds = job.seconds()
        if error is None:
            if seconds:
                self.seconds.setdefault(job.config, []).append(seconds)
            top1 = accuracy_in(read_scalars(job.folder)[1][job.length])
            result = f'{top1:.2f}% ({"was complete" if skipped else clock(seconds)})'
        else:
            result = f'FAILED, {error}'
        self.clear()
        print(f'[{self.done}/{self.total}] {job.title}: {result}', flush=True)

    def remaining(
        self, running: Sequence[Training], waiting: Sequence[Job], reached: Sequence[float]
    ) -> float | None:
        """Seconds that are left, judging by complete runs and by how far the others are.

        None as long as there is nothing to judge by. ``reached`` is :func:`reached_by` of each that
        is running, which reads its logs.
        """
        now = time.time()
        left, seconds = list(map(self.left_of, running, reached)), dict(self.seconds)
        for training, own in zip(running, left, strict=True):
            if own is not None:
                seconds.setdefault(training.job.config, [now - training.started + own])
        known = [value for values in seconds.values() for value in values]
        if not known:
            return None

        def expected(job):
            return statistics.fmean(seconds.get(job.config, known))

        for place, training in enumerate(running):
            if left[place] is None:
                left[place] = max(0, expected(training.job) - (now - training.started))
        shared = (sum(left) + sum(map(expected, waiting))) / self.slots
        return max([*left, shared])

    def left_of(self, training: Training, reached: float) -> float | None:
        """Seconds that a run still takes, by what it has done; None if that is nothing yet."""
        job = training.job
        first = self.first.setdefault((job, training.started), reached)
        if reached <= first:
            return None
        return (time.time() - training.started) * (job.length - reached) / (reached - first)

    def show(self, running: Sequence[Training], waiting: Sequence[Job]) -> None:
        """Print what runs if that has changed, and now and then."""
        titles, now = [training.job.title for training in running], time.time()
        if not running and not waiting:
            self.clear()
            return
        is_terminal = sys.stdout.isatty()
        pause = LOOK if is_terminal else REPORT
        if titles == self.shown[0] and now - self.shown[1] < pause:
            return
        self.shown = titles, now
        reached = list(map(reached_by, running))
        left = self.remaining(running, waiting, reached)
        current = (
            '; '.join(map(position, running, reached)) or 'nothing, waiting for other processes'
        )
        line = f'{self.done}/{self.total} done, {clock(now - self.started)} elapsed, '
        line += f'{"unknown" if left is None else clock(left)} left; running: {current}'
        if is_terminal:
            self.clear()
            # One that is wrapped could not be removed.
            self.line = line[: shutil.get_terminal_size().columns - 1]
            print(self.line, end='', flush=True)
        else:
            print(line, flush=True)

    def clear(self) -> None:
        """Remove the line that is written anew."""
        if self.line:
            print('\r' + ' ' * len(self.line), end='\r', flush=True)
        self.line = ''


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def position(training: Training, reached: float) -> str:
    """Title of a running job and how far it is."""
    job = training.job
    return f'{job.title} ({job.unit} {reached:.3g} of {job.length})'


def reached_by(training: Training) -> float:
    """Epochs or iterations that a run has done, the part of an epoch included that it logged."""
    job = training.job
    trained, validated = read_scalars(job.folder)
    logged = max(trained, default=0)
    if job.unit == 'epoch':
        logged /= epoch_length(job.folder) or float('inf')
    return max(logged, max(validated, default=0))
