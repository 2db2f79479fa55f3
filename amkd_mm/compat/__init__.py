"""Repairs for MMRazor 1.0.0, MMEngine 0.10.7 and MMPretrain 1.2.0 on current torch and Python.

:func:`apply` must run before MMRazor's models are imported, so the package calls it first. It edits
no installed file, and each repair says which upstream symptom it removes. One file a subject.
"""

from . import (
    checkpoints,
    configs,
    datasets,
    distillers,
    environment,
    mmcls,
    networks,
    quantization,
    recording,
    registries,
    validation,
)


def apply():
    """Apply every repair. Calling it again changes nothing."""
    # First: classes of MMRazor extend those of mmcls, and all of MMRazor imports its quantisation.
    mmcls.apply()
    quantization.apply()
    for subject in (
        environment,
        configs,
        registries,
        checkpoints,
        recording,
        networks,
        datasets,
        validation,
        distillers,
    ):
        subject.apply()
