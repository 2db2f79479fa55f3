"""MMPretrain's own command line tools, which it installs where no shell finds them."""

import sys
from pathlib import Path

import mmpretrain

from ..config.names import find_config
from .downloads import explain_failed_downloads
from .scripts import run_script

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
            f'{tool} is missing: reinstall MMPretrain (mmpretrain or onedl-mmpretrain), or run '
            f'tools/{tool.parent.name}/{tool.name} of its repository'
        )
    explain_failed_downloads()
    # MMPretrain's tools know files only.
    sys.argv[1:] = [find_config(word) if '::' in word else word for word in sys.argv[1:]]
    run_script(tool)
