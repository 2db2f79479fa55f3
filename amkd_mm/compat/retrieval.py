"""MMPretrain's metrics of retrieval."""

from types import ModuleType

import numpy as np


def apply():
    """Apply the repair of this file. Calling it again changes nothing."""
    let_metrics_find_labels()


def let_metrics_find_labels():
    """``module 'numpy' has no attribute 'in1d'`` with NumPy 2.4 and later.

    ``RetrievalRecall`` and ``RetrievalAveragePrecision`` of MMPretrain 1.2.0 call it. They get a
    NumPy of their own that has it; all others have the installed one.
    """
    from mmpretrain.evaluation.metrics import retrieval

    if not hasattr(retrieval.np, 'in1d'):
        retrieval.np = NumpyWithIn1d(np.__name__)


class NumpyWithIn1d(ModuleType):
    """NumPy with the former name of ``isin`` for what has one dimension."""

    in1d = staticmethod(np.isin)

    def __getattr__(self, name):
        return getattr(np, name)
