"""Noise of the installed packages."""

import sys
import warnings
from contextlib import redirect_stdout
from io import StringIO


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    silence_missing_operators()
    silence_missing_onedl()


def silence_missing_operators():
    """``UserWarning: Fail to import MultiScaleDeformableAttention`` at every start.

    mmcv-lite 2.1.0 has no compiled operators, nor has OneDL's MMCV 2.3.6 as pip builds it, and
    image classification needs none.
    """
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')


def silence_missing_onedl():
    """``Could not import OneDL`` on standard output at every start.

    OneDL's MMPretrain 1.3.6 prints it if the client of its makers' platform is not installed.
    """
    with redirect_stdout(StringIO()) as printed:
        import mmpretrain.datasets  # noqa: F401
    sys.stdout.write(printed.getvalue().replace('Could not import OneDL\n', ''))
