"""Adversarial metric knowledge distillation for MMRazor and MMPretrain.

Importing this package makes the OpenMMLab stack work on a current machine and registers
everything. A config file needs no more than
``custom_imports = dict(imports=['amkd_mm'], allow_failed_imports=False)``.
"""

from . import compat

compat.apply()  # First: what follows imports MMRazor.

from . import (  # noqa: E402
    algorithms,
    attacks,
    backbones,
    classifiers,
    connectors,
    datasets,
    evaluation,
    hooks,
    losses,
    optim,
    recorders,
    visualization,
)
from .version import __version__  # noqa: E402

__all__ = [
    '__version__',
    'algorithms',
    'attacks',
    'backbones',
    'classifiers',
    'compat',
    'connectors',
    'datasets',
    'evaluation',
    'hooks',
    'losses',
    'optim',
    'recorders',
    'visualization',
]
