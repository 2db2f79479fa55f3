"""Repairs for MMRazor 1.0.0, MMEngine and MMPretrain on current torch and Python.

Of MMEngine and MMPretrain there are OpenMMLab's 0.10.7 and 1.2.0, and OneDL's later releases, see
:mod:`amkd_mm.compat.lines`. A repair that names a version of OpenMMLab's is needed with OneDL's
0.10.12 and 1.3.6, too, unless it looks for the fault and finds none.

:func:`apply` must run before MMRazor's models are imported, so the package calls it first. It edits
no installed file, and each repair says which upstream symptom it removes. One file a subject.
"""

from .dependencies import check_one_line, check_setuptools, check_stack


def apply():
    """Apply every repair. Calling it again changes nothing.

    Raises:
        ImportError: If a package is missing, two lines of packages are mixed, or setuptools does
            not go with this Python.
    """
    check_setuptools()
    check_one_line()
    check_stack()
    # The subjects import MMEngine and MMCV, of which the checks speak, and then MMRazor.
    from . import versions

    versions.apply()
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
        hues,
        loading,
        mmcls,
        networks,
        quantization,
        recording,
        registries,
        resume,
        retrieval,
        validation,
    )

    # First: what is noisy when it is imported; classes of MMRazor extend those of mmcls, and all of
    # MMRazor imports its quantisation.
    environment.apply()
    mmcls.apply()
    quantization.apply()
    for subject in (
        configs,
        registries,
        checkpoints,
        loading,
        resume,
        recording,
        networks,
        datasets,
        hues,
        retrieval,
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
