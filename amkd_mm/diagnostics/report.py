"""What a check found, as a table with notes and problems."""

import logging
import textwrap

WIDTH, LABEL = 96, 18


class Report(logging.Handler):
    """A table, and notes and problems with what to write; logged warnings are notes, too.

    Attributes:
        rows (list[tuple[str]]): A label and a cell for each network, or one cell for all of them.
        notes (dict[str, str]): Each with what to write in the config, or ``''``.
        problems (dict[str, str]): Likewise; with any of them the pair cannot be trained.
        doubt (str): What to add to the verdict of a pair without problems.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.rows, self.notes, self.problems = [('', 'student', 'teacher')], {}, {}
        self.doubt = ''

    def name_networks(self, *names: str) -> None:
        """Head the table with other names than student and teacher."""
        self.rows[0] = ('', *names)

    def row(self, label: str, *cells: object) -> None:
        """Add a row."""
        self.rows.append((label, *map(str, cells)))

    def note(self, text: str, write: str = '') -> None:
        """Add what is worth knowing, and what could be written instead."""
        self.notes[text] = write

    def problem(self, text: str, write: str = '') -> None:
        """Add what keeps the pair from being trained, and what to write instead."""
        self.problems[text] = write

    def emit(self, record: logging.LogRecord) -> None:
        """Add a logged warning to the notes."""
        # The weights are drawn here, and by the Runner once more.
        if 'has been called more than once' not in record.getMessage():
            self.note(' '.join(record.getMessage().split()))

    def __str__(self) -> str:
        label = max(LABEL, *(len(row[0]) + 2 for row in self.rows))
        cell = max((len(text) + 2 for row in self.rows if row[2:] for text in row[1:]), default=0)
        lines = []
        for name, *cells in self.rows:
            start = f'{name:{label}}'
            line = start + ''.join(text.ljust(cell) for text in cells)
            lines.append(line if cells[1:] else fill(start, *cells))
        for kind, found in (('note', self.notes), ('problem', self.problems)):
            for text, write in found.items():
                lines += ['', fill(f'{kind}: ', text)]
                lines += [f'{" " * len(kind)}  write: {write}'] if write else []
        verdict = f'{len(self.problems)} problem(s)' if self.problems else f'OK{self.doubt}'
        return '\n'.join([*map(str.rstrip, lines), '', verdict])


def fill(start: str, text: str) -> str:
    """Wrap a text, each of its lines being indented by the start of the first."""
    indents = dict(initial_indent=start, subsequent_indent=' ' * len(start))
    return textwrap.fill(text, WIDTH, **indents, break_long_words=False, break_on_hyphens=False)
