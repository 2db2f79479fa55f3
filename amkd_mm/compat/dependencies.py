"""What must be installed, with words for what is not."""

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from .lines import LINES, OPENMMLAB, PACKAGES, Line, installed, installed_lines


class DependencyError(ImportError):
    """What is installed does not go together, or is not all; the message has the commands."""


def check_setuptools() -> None:
    """Check that MMEngine can import what it needs of setuptools.

    Otherwise it ends in ``No module named 'distutils'``, MIM in ``module 'pkgutil' has no attribute
    'ImpImporter'``: setuptools before 66.1 does not import on Python 3.12 and later. OneDL's
    MMEngine needs no setuptools.

    Raises:
        DependencyError: If it cannot.
    """
    if OPENMMLAB not in installed_lines():
        return
    try:
        found = version('setuptools')
    except PackageNotFoundError:  # Something else than a usual installation.
        return
    if sys.version_info >= (3, 12) and tuple(map(int, found.split('.')[:2])) < (66, 1):
        raise DependencyError(
            f'setuptools {found}, which openmim brings, does not work on Python 3.12 and later: '
            '`pip install "setuptools>=66.1,<82"`'
        )


def check_one_line() -> None:
    """Check that no files of OpenMMLab's and OneDL's packages, or of two versions, are mixed.

    mmcv-lite and MMCV of one version have the same files, but for MMCV's operators.

    Raises:
        DependencyError: If they are, with the commands that mend it.
    """
    lines = installed_lines()
    found = [one for line in lines for one in installed(line)]
    of_package = {name: [one for one in found if one.package == name] for name in PACKAGES}
    versions = [{one.version for one in several} for several in of_package.values()]
    if len(lines) < 2 and max(map(len, versions)) < 2:
        return
    owners = [
        f'{package} of ' + ' and '.join(f'{one.name} {one.version}' for one in several)
        for package, several in of_package.items()
        if several
    ]
    raise DependencyError(
        'there are files of several lines or versions, which pip installs over one another: '
        f'{", ".join(owners)}. Remove all of them and install one line anew: '
        f'`pip uninstall -y {" ".join(one.name for one in found)}`, then {commands(lines)}'
    )


def check_stack() -> None:
    """Check that MMEngine, MMCV and MMPretrain are there.

    They are no requirements, because pip would install one line over the other, and mmcv-lite over
    a full MMCV.

    Raises:
        DependencyError: If not, with the commands that install either line.
    """
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if not missing:
        return
    text = f'MMRazor needs {", ".join(missing)}, which is not installed: {commands(LINES)}'
    # Their files go with those of another distribution that brought them, too.
    bare = [one.name for line in LINES for one in installed(line) if one.package in missing]
    if bare:
        text += f'; before that `pip uninstall -y {" ".join(bare)}`, whose files are gone'
    raise DependencyError(text, name=missing[0])


def commands(lines: Iterable[Line]) -> str:
    """What installs one of the lines."""
    return ' or '.join(f'`{line.command}` for {line.title}' for line in lines)
