"""What a benchmark prints while it runs."""

from collections.abc import Sequence
from datetime import timedelta

from rich import get_console, progress
from rich.console import Console

from .records import Run

# Seconds between looks at the logs, between lines while nothing happens, and back from now of which
# the speed counts.
LOOK, REPORT, WINDOW = 2, 600, 3600
# Bars count thousandths of a run: integers, because a new sum of a run's parts forgets the speed.
WHOLE = 1000


class Progress(progress.Progress):
    """Bars on a terminal, of all runs and of each that runs, with the time that is left.

    Elsewhere there is a line when a run begins, and every ten minutes.

    Args:
        total (int): Number of runs.
        console (Console, optional): Where bars are shown. Defaults to the standard output.
        kwargs: Of ``rich.progress.Progress``.
    """

    def __init__(self, total: int, console: Console | None = None, **kwargs) -> None:
        console = console or get_console()
        super().__init__(
            progress.TextColumn('{task.description}', markup=False),
            progress.BarColumn(),
            progress.TextColumn('{task.fields[position]}'),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_interactive,
            speed_estimate_period=WINDOW,
            **kwargs,
        )
        self.total, self.done, self.trained = total, 0, 0
        self.all = self.bar('all', total=None)
        # Of the running jobs; and how far each was when it was first seen: it may be resumed.
        self.bars, self.first = {}, {}
        self.titles, self.looked, self.printed = None, 0, 0

    def bar(self, title: str, **kwargs) -> progress.Task:
        """A new bar."""
        self.add_task(title, position='', **kwargs)
        return self.tasks[-1]

    def ended(self, run: Run, skipped: bool) -> None:
        """Count a run and say how it ended."""
        self.done += 1
        first = self.first.pop(run, 0)
        if run in self.bars:
            self.remove_task(self.bars.pop(run).id)
        if run.status == 'failed':
            result = f'FAILED, {run.error}'
        else:
            self.trained += 0 if skipped else WHOLE - first
            result = f'{run.last:.2f}% ({"was complete" if skipped else clock(run.seconds or 0)})'
        print(f'[{self.done}/{self.total}] {run.title}: {result}', flush=True)

    def show(self, running: Sequence[Run], waiting: Sequence[Run]) -> None:
        """Look at the logs now and then, and print what runs where there are no bars."""
        titles, now = [run.title for run in running], self.get_time()
        begun = titles != self.titles
        if not (running or waiting) or not begun and now - self.looked < LOOK:
            return
        self.titles, self.looked = titles, now
        self.move_bars(running, waiting)
        if self.disable and (begun or now - self.printed >= REPORT):
            self.printed = now
            print(self.line(running), flush=True)

    def move_bars(self, running: Sequence[Run], waiting: Sequence[Run]) -> None:
        """Move the bars to where the runs are."""
        completed, total = self.trained, self.trained + len(waiting) * WHOLE
        for run in running:
            reached = run.reached()
            share = int(WHOLE * reached / run.setting.length)
            if run not in self.bars:
                self.first[run] = share
                self.bars[run] = self.bar(run.title, total=None)
            position = f'{run.setting.unit} {reached:.3g} of {run.setting.length}'
            self.move(self.bars[run], share, WHOLE, position)
            completed += share - self.first[run]
            total += WHOLE - self.first[run]
        # What failed or was complete before does not count: it says nothing of the time.
        self.move(self.all, completed, total, f'{self.done} of {self.total}')

    def move(self, bar: progress.Task, completed: int, total: int, position: str) -> None:
        """Move a bar, which measures its speed from its first step on: so it makes one at once."""
        if total != bar.total:
            self.update(bar.id, completed=completed - 1)
        self.update(bar.id, total=total, completed=completed, position=position)

    def line(self, running: Sequence[Run]) -> str:
        """The bars as text."""
        left = self.all.time_remaining
        places = [f'{run.title} ({self.bars[run].fields["position"]})' for run in running]
        return (
            f'{self.done}/{self.total} done, {clock(self.all.elapsed)} elapsed, '
            f'{"unknown" if left is None else clock(left)} left; running: '
            f'{"; ".join(places) or "nothing, waiting for other processes"}'
        )


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
