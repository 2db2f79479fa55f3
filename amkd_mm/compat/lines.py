"""Which line of OpenMMLab's packages is installed: OpenMMLab's own, or OneDL's.

OpenMMLab's releases end in 2024. OneDL's go on from them as other distributions with the same names
to import, so that pip installs the files of one over those of the other. ``setup.py`` reads this
file: it needs nothing but Python.
"""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple


class Line(NamedTuple):
    """A line of the packages that MMRazor is built on."""

    title: str
    # Of this package's extra that brings the line.
    extra: str
    # By the name to import: each distribution that brings it.
    distributions: dict[str, tuple[str, ...]]
    requirements: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command that installs the line, with its requirements in full."""
        return 'pip install ' + ' '.join(f'"{one}"' for one in self.requirements)


OPENMMLAB = Line(
    title="OpenMMLab's",
    extra='openmmlab',
    distributions=dict(
        mmengine=('mmengine', 'mmengine-lite'),
        mmcv=('mmcv', 'mmcv-lite', 'mmcv-full'),
        mmpretrain=('mmpretrain',),
    ),
    requirements=(
        'mmengine>=0.10.7,<1.0',
        # MMRazor 1.0.0 refuses MMCV > 2.1.0.
        'mmcv-lite>=2.0.0,<=2.1.0',
        'mmpretrain>=1.2.0,<2.0',
        # MMEngine 0.10.7 imports pkg_resources, which setuptools 82 removed, and which before 66.1
        # does not import on Python 3.12 and later.
        'setuptools>=66.1,<82',
    ),
)
ONEDL = Line(
    title="OneDL's",
    extra='onedl',
    distributions=dict(
        mmengine=('onedl-mmengine',), mmcv=('onedl-mmcv',), mmpretrain=('onedl-mmpretrain',)
    ),
    requirements=(
        'onedl-mmengine>=0.10.12,<1.0',
        'onedl-mmcv>=2.3.6,<2.4',
        'onedl-mmpretrain>=1.3.6,<2.0',
    ),
)
LINES = (OPENMMLAB, ONEDL)
PACKAGES = tuple(OPENMMLAB.distributions)


class Distribution(NamedTuple):
    """A distribution that is installed, and the package whose files it brings."""

    package: str
    name: str
    version: str


def installed(line: Line) -> list[Distribution]:
    """Distributions of the line that pip knows as installed."""
    found = []
    for package, names in line.distributions.items():
        for name in names:
            with suppress(PackageNotFoundError):
                found.append(Distribution(package, name, version(name)))
    return found


def installed_lines() -> list[Line]:
    """Lines of which anything is installed: one, unless both are mixed or there is none.

    Packages on the path that pip does not know are of no line.
    """
    return [line for line in LINES if installed(line)]
