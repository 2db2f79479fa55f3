"""Adversarial metric knowledge distillation for MMRazor and MMPretrain.

Importing this package makes the OpenMMLab stack work on a current machine and registers
everything. A config file needs no more than
``custom_imports = dict(imports=['amkd_mm'], allow_failed_imports=False)``.
"""

from .cli.starting import is_command
from .version import __version__

# The command line imports the rest itself, once it knows that a tool is to run.
if not is_command():
    from . import compat

    compat.apply()  # First: what follows imports MMRazor.

    from . import (
        algorithms,
        analysis,
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
        retrievers,
        samplers,
        teachers,
        visualization,
    )

__all__ = [
    '__version__',
    'algorithms',
    'analysis',
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
    'retrievers',
    'samplers',
    'teachers',
    'visualization',
]
