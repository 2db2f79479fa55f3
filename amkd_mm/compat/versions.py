"""Packages that are newer than MMRazor allows."""

import mmcv
from mmengine.utils import digit_version

from .lines import ONEDL, installed_lines

# What MMRazor 1.0.0 allows at most.
NEWEST = '2.1.0'


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    admit_newer_mmcv()


def admit_newer_mmcv():
    """``AssertionError: MMCV==2.3.6 is used but incompatible`` on ``import mmrazor``.

    MMRazor 1.0.0 takes MMCV up to 2.1.0, though it runs with OneDL's. It looks when it is imported;
    until that is done, MMCV says to be the newest that MMRazor takes. No other MMCV is let pass.
    """
    found = mmcv.__version__
    if installed_lines() != [ONEDL] or digit_version(found) <= digit_version(NEWEST):
        return
    mmcv.__version__ = NEWEST
    try:
        import mmrazor
    finally:
        mmcv.__version__ = found
    mmrazor.mmcv_version = digit_version(found)
