"""Messages about setuptools; those about the lines are tested in ``test_lines.py``."""

import sys

import pytest

from amkd_mm.compat import dependencies
from amkd_mm.compat.lines import OPENMMLAB


@pytest.mark.parametrize(
    'python, setuptools, fits',
    [
        # As tried with these releases: `import pkg_resources` fails or not.
        ((3, 11), '60.2.0', True),
        ((3, 12), '60.2.0', False),
        ((3, 12), '66.0.0', False),
        ((3, 12), '66.1.0', True),
        ((3, 13), '66.0.0', False),
        ((3, 13), '66.1.1', True),
        ((3, 13), '81.0.0', True),
    ],
)
def test_setuptools_that_openmim_brings(python, setuptools, fits, monkeypatch):
    monkeypatch.setattr(sys, 'version_info', (*python, 0, 'final', 0))
    monkeypatch.setattr(dependencies, 'version', {'setuptools': setuptools}.__getitem__)
    monkeypatch.setattr(dependencies, 'installed_lines', lambda: [OPENMMLAB])
    if fits:
        dependencies.check_setuptools()
        return
    with pytest.raises(ImportError, match=r'pip install "setuptools>=66\.1,<82"'):
        dependencies.check_setuptools()
