"""What the tests of the tools share."""

from pathlib import Path

import pytest

from scripts import load_script

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture(scope='session')
def load_tool():
    """Imports a script by its path below ``tools/``."""
    return lambda path: load_script(TOOLS / path)
