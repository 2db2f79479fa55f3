"""Run a Python file as a program, inside this process."""

import sys
from pathlib import Path
from types import ModuleType


def run_script(path: Path) -> None:
    """Run a file as ``python FILE`` does, but for ``sys.argv``, which stays as it is.

    ``runpy.run_path`` would put the path there, from which ``argparse`` takes the name that it
    shows in usages.

    Args:
        path (Path): The file; its folder takes the place of that of the running program on the
            module search path.
    """
    main = ModuleType('__main__')
    main.__file__ = str(path)
    before, sys.modules['__main__'] = sys.modules['__main__'], main
    sys.path[0] = str(path.parent)
    try:
        exec(compile(path.read_bytes(), str(path), 'exec'), main.__dict__)
    finally:
        sys.modules['__main__'] = before
