"""What a benchmark prints while it runs."""

import statistics
import time
from collections.abc import Sequence
from datetime import timedelta

from .records import accuracy_in, read_scalars
from .running import Job, Training

# Seconds between lines while nothing happens.
REPORT = 600


class Progress:
    """Prints what happens.

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
        print(f'[{self.done}/{self.total}] {job.title}: {result}', flush=True)

    def remaining(self, running: Sequence[Training], waiting: Sequence[Job]) -> float | None:
        """Seconds that are left, judging by complete runs; None without any."""
        known = [seconds for values in self.seconds.values() for seconds in values]
        if not known:
            return None

        def expected(job):
            return statistics.fmean(self.seconds.get(job.config, known))

        now = time.time()
        left = [max(0, expected(t.job) - (now - t.started)) for t in running]
        shared = (sum(left) + sum(map(expected, waiting))) / self.slots
        return max([*left, shared])

    def show(self, running: Sequence[Training], waiting: Sequence[Job]) -> None:
        """Print what runs if that has changed, and every ten minutes."""
        titles, now = [training.job.title for training in running], time.time()
        if not running and not waiting:
            return
        if titles == self.shown[0] and now - self.shown[1] < REPORT:
            return
        self.shown = titles, now
        left = self.remaining(running, waiting)
        current = '; '.join(map(position, running)) or 'nothing, waiting for other processes'
        print(
            f'{self.done}/{self.total} done, {clock(now - self.started)} elapsed, '
            f'{"unknown" if left is None else clock(left)} left; running: {current}',
            flush=True,
        )


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def position(training: Training) -> str:
    """Title of a running job and how far it is."""
    job = training.job
    reached = max(read_scalars(job.folder)[1], default=0)
    return f'{job.title} ({job.unit} {reached} of {job.length})'
