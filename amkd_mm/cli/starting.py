"""Whether Python has just been told to run this package as a command."""

import sys
from pathlib import Path

PACKAGE = 'amkd_mm'


def is_command() -> bool:
    """Whether this is the beginning of ``python -m amkd_mm`` or of the script ``amkd_mm``.

    Both import the package before anything of its command line can run. What it says without a
    tool, such as ``--help``, must not wait for PyTorch.
    """
    program = sys.argv[0] if sys.argv else ''
    if program == '-m':
        # While a module is looked up, it stands where `sys.argv` has this.
        return sys.orig_argv[-len(sys.argv)].removeprefix('-m') in (PACKAGE, f'{PACKAGE}.__main__')
    return Path(program).stem == PACKAGE
