"""Repairs for MMRazor 1.0.0, MMEngine 0.10.7 and MMPretrain 1.2.0 on current torch and Python.

:func:`apply` must run before MMRazor's models are imported, so the package calls it first. It edits
no installed file, and each repair says which upstream symptom it removes. One file a subject.
"""

from .dependencies import check_mmcv, check_setuptools


def apply():
    """Apply every repair. Calling it again changes nothing.

    Raises:
        ImportError: If MMCV is missing, or setuptools does not go with this Python.
    """
    check_setuptools()
    check_mmcv()
    # The subjects import MMEngine and MMCV, of which the checks speak.
    from . import (
        checkpoints,
        class_numbers,
        compilation,
        config_errors,
        configs,
        datasets,
        distillation_errors,
        distillers,
        engine,
        environment,
        hooks,
        loading,
        mmcls,
        networks,
        quantization,
        recording,
        registries,
        resume,
        validation,
    )

    # First: classes of MMRazor extend those of mmcls, and all of MMRazor imports its quantisation.
    mmcls.apply()
    quantization.apply()
    for subject in (
        environment,
        configs,
        registries,
        checkpoints,
        loading,
        resume,
        recording,
        networks,
        datasets,
        validation,
        hooks,
        distillers,
        engine,
        compilation,
        distillation_errors,
        class_numbers,
        config_errors,
    ):
        subject.apply()
