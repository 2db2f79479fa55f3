"""What a benchmark prints while it runs."""

from collections.abc import Sequence
from datetime import timedelta

from rich import get_console, progress
from rich.console import Console

from .records import Run

# Seconds between looks at the logs, between lines while nothing happens, and back from now of which
# the speed counts.
LOOK, REPORT, WINDOW = 2, 600, 3600


class Progress(progress.Progress):
    """Bars on a terminal, of all runs and of each that is trained, with the time that is left.

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
        self.total, self.done = total, 0
        self.all, self.bars = self.add_task('all', total=total, position=''), {}
        self.titles, self.looked, self.printed = None, 0, 0

    def ended(self, run: Run, skipped: bool) -> None:
        """Count a run and say how it ended."""
        self.done += 1
        if run in self.bars:
            self.remove_task(self.bars.pop(run))
        if run.status == 'failed':
            result = f'FAILED, {run.error}'
        else:
            result = f'{run.last:.2f}% ({"was complete" if skipped else clock(run.seconds or 0)})'
        print(f'[{self.done}/{self.total}] {run.title}: {result}', flush=True)

    def show(self, running: Sequence[Run], waiting: Sequence[Run]) -> None:
        """Look at the logs now and then, and print what runs where there are no bars."""
        titles, now = [run.title for run in running], self.get_time()
        begun = titles != self.titles
        if not (running or waiting) or not begun and now - self.looked < LOOK:
            return
        self.titles, self.looked = titles, now
        self.move_bars(running)
        if self.disable and (begun or now - self.printed >= REPORT):
            self.printed = now
            print(self.line(), flush=True)

    def move_bars(self, running: Sequence[Run]) -> None:
        """Move the bars to where the runs are; the first step, as of what is resumed, is free."""
        completed = self.done
        for run in running:
            reached, length = run.reached(), run.setting.length
            if run not in self.bars:
                self.bars[run] = self.add_task(run.title, total=length, position='')
            position = f'{run.setting.unit} {reached:.3g} of {length}'
            self.update(self.bars[run], completed=reached, position=position)
            completed += reached / length
        self.update(self.all, completed=completed, position=f'{self.done} of {self.total}')

    def line(self) -> str:
        """The bars as text."""
        whole, *running = self.tasks
        left = 'unknown' if whole.time_remaining is None else clock(whole.time_remaining)
        places = [f'{task.description} ({task.fields["position"]})' for task in running]
        return (
            f'{self.done}/{self.total} done, {clock(whole.elapsed)} elapsed, {left} left; running: '
            f'{"; ".join(places) or "nothing, waiting for other processes"}'
        )


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
