"""The command ``amkd_mm``, or ``python -m amkd_mm``: the files in ``tools/``, under one name."""

import ast
import importlib
import os
import shutil
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten

from ..compat.dependencies import DependencyError
from ..version import __version__
from .scripts import run_script
from .starting import PACKAGE

TOOLS = Path(__file__).parents[1] / '.mim' / 'tools'
# Commands that are not named as their files are.
SHORT = {'check_pair': 'check', 'export_student': 'export'}
USAGE = 'usage: {program} [-h] [--version] COMMAND ...'
INTRODUCTION = (
    'Distil one image classifier into another, without a clone of the repository. The commands run '
    'the files of `tools/`,\nto which they pass their arguments: `{program} COMMAND --help`. '
    'Configs that come with the package are named\n`amkd_mm::kd/NAME.py` or `kd/NAME.py`.'
)


def commands() -> dict[str, Path]:
    """File of each command by its name; those of no folder come first.

    Raises:
        SystemExit: If the package is not installed, but only on the module search path.
    """
    if not TOOLS.is_dir():
        sys.exit(
            f'amkd_mm: {TOOLS} is missing: the package is on the path, but not installed. Run '
            '`pip install -e .` in its repository'
        )
    files = [path for path in TOOLS.rglob('*') if path.suffix in ('.py', '.sh')]
    files.sort(key=lambda path: (len(path.relative_to(TOOLS).parts), path.suffix, path.stem))
    return {SHORT.get(path.stem, path.stem): path for path in files}


def summary(path: Path) -> str:
    """The first sentence of a tool's description, without its full stop."""
    text = path.read_text(encoding='utf-8')
    if path.suffix == '.py':
        text = ast.get_docstring(ast.parse(text)) or ''
    else:
        text = text.partition('\n# ')[2]
    return text.partition('\n')[0].rstrip('.')


def overview(program: str) -> str:
    """What ``--help`` prints."""
    found = commands()
    width = max(map(len, found)) + 2
    lines = [f'  {name:{width}}{shorten(summary(path), 96)}' for name, path in found.items()]
    texts = [USAGE, '', INTRODUCTION, '', 'commands:', *lines]
    return '\n'.join(texts).format(program=program)


def find(name: str) -> Path | None:
    """The file of a command, which may also be named as the file is."""
    return commands().get(SHORT.get(name, name))


def program_name() -> str:
    """What the user typed."""
    name = Path(sys.argv[0]).stem
    return f'python -m {PACKAGE}' if name == '__main__' else name


def main(arguments: Sequence[str] | None = None) -> int | str | None:
    """Run the tool that the first argument names with the others.

    Args:
        arguments (Sequence[str], optional): Defaults to those of the command line.

    Returns:
        int | str | None: Exit status, as ``sys.exit`` takes it. Tools may exit by themselves.
    """
    program, arguments = program_name(), list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else '--help'
    if name in ('-h', '--help', '--version'):
        print(f'amkd_mm {__version__}' if name == '--version' else overview(program))
        return 0
    path = find(name)
    if path is None:
        known = [*commands(), *SHORT]
        nearest = get_close_matches(name, known, 1, 0.4)
        hint = f'; did you mean `{nearest[0]}`?' if nearest else ''
        print(
            f'{USAGE.format(program=program)}\n{program}: error: no such command: {name}{hint} '
            f'All commands: {program} --help',
            file=sys.stderr,
        )
        return 2
    if path.suffix == '.sh':
        # The scripts start `python`, which has to be this one.
        folders = [str(Path(sys.executable).parent), os.environ.get('PATH', os.defpath)]
        environment = {**os.environ, 'PATH': os.pathsep.join(folders)}
        os.execve(shutil.which('bash') or 'bash', ['bash', str(path), *arguments[1:]], environment)
    sys.argv = [f'{program} {name}', *arguments[1:]]
    try:
        # So far there is but the command line, see `__init__.py`.
        importlib.reload(sys.modules[PACKAGE])
        run_script(path)
    except DependencyError as error:
        return f'{program}: error: {error}'
