"""What must be installed, with words for what is not."""

import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


def check_setuptools() -> None:
    """Raise ``ImportError`` with what to install if MMEngine cannot import what it needs of it.

    Otherwise it ends in ``No module named 'distutils'``, MIM in ``module 'pkgutil' has no attribute
    'ImpImporter'``: setuptools before 66.1 does not import on Python 3.12 and later.
    """
    try:
        found = version('setuptools')
    except PackageNotFoundError:  # Something else than a usual installation.
        return
    if sys.version_info >= (3, 12) and tuple(map(int, found.split('.')[:2])) < (66, 1):
        raise ImportError(
            f'setuptools {found}, which openmim brings, does not work on Python 3.12 and later: '
            '`pip install "setuptools>=66.1,<82"`'
        )


def check_mmcv() -> None:
    """Raise ``ModuleNotFoundError`` with what to install if MMCV is missing.

    It is no requirement, because mmcv-lite would overwrite the files of a full MMCV.
    """
    if find_spec('mmcv') is None:
        raise ModuleNotFoundError(
            'MMPretrain and MMRazor need MMCV 2.0.0 to 2.1.0, and there is none. Install this '
            'package\'s extra: `pip install "amkd_mm[mmcv]"` (in a clone `pip install -e '
            '".[mmcv]"`), which brings mmcv-lite',
            name='mmcv',
        )
