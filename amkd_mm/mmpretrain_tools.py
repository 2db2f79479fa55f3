"""MMPretrain's own command line tools, which it installs where no shell finds them."""

import runpy
import sys
from pathlib import Path

import mmpretrain

from .downloads import explain_failed_downloads

# What MMPretrain calls its tools, below its folder of tools.
FOLDER = Path(mmpretrain.__file__).parent / '.mim' / 'tools'


def run_tool(script: str) -> None:
    """Run MMPretrain's tool of the same folder and name as a script, with its arguments.

    What the tool needs of this package must be registered already.

    Args:
        script (str): Path of the script, ``<folder>/<name>.py``.

    Raises:
        FileNotFoundError: If MMPretrain does not come with it.
    """
    path = Path(script).resolve()
    tool = FOLDER / path.parent.name / path.name
    if not tool.is_file():
        raise FileNotFoundError(
            f'{tool} is missing: reinstall mmpretrain 1.2.0 or newer from a wheel, or run '
            f'tools/{tool.parent.name}/{tool.name} of its repository'
        )
    explain_failed_downloads()
    # As if it had been called itself; it may import files beside it.
    sys.path[0] = str(tool.parent)
    runpy.run_path(str(tool), run_name='__main__')
