"""Adversarial metric knowledge distillation for MMRazor and MMPretrain.

Importing this package makes the OpenMMLab stack work on a current machine and registers
everything. A config file needs no more than
``custom_imports = dict(imports=['amkd_mm'], allow_failed_imports=False)``.
"""

from .starting import is_command
from .version import __version__

# The command line imports the rest itself, once it knows that a tool is to run.
if not is_command():
    from .dependencies import check_mmcv, check_setuptools

    check_setuptools()
    check_mmcv()

    from . import compat

    compat.apply()  # First: what follows imports MMRazor.

    from . import (
        algorithms,
        attacks,
        backbones,
        classifiers,
        connectors,
        data_preprocessors,
        datasets,
        evaluation,
        hooks,
        losses,
        optim,
        recorders,
        visualization,
    )

__all__ = [
    '__version__',
    'algorithms',
    'attacks',
    'backbones',
    'classifiers',
    'compat',
    'connectors',
    'data_preprocessors',
    'datasets',
    'evaluation',
    'hooks',
    'losses',
    'optim',
    'recorders',
    'visualization',
]
