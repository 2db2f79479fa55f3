"""Noise of the installed packages."""

import warnings


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    silence_missing_operators()


def silence_missing_operators():
    """``UserWarning: Fail to import MultiScaleDeformableAttention`` at every start.

    mmcv-lite 2.1.0 has no compiled operators, and image classification needs none.
    """
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
