"""Checkpoints load on current torch, and run no code."""

from functools import partial
from pickle import UnpicklingError

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler
from mmengine.runner import checkpoint
from torchvision.models import _api as torchvision_api


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    allow_runner_checkpoints()
    keep_to_what_is_allowed()
    restrict_downloaded_checkpoints()


#
# What follows decides what an untrusted checkpoint may do. torch's restricted unpickler lets a file
# name allowed objects, call them, and set the state of their instances. numpy's own `dtype` and
# `ndarray` are not safe to hand out: with an object dtype over a buffer, or with chosen flags, the
# bytes of an array become object pointers. So the names in the file lead to the stand-ins below.

# float64, int64: values and counts in a HistoryBuffer, and the `eta` in `runtime_info`; int32:
# those counts on Windows with numpy 1; float32: a metric kept as `best_score`; bool, uint8: masks
# and palettes in `dataset_meta`.
_DTYPES = {code: np.dtype(code) for code in ('f8', 'i8', 'i4', 'f4', 'b1', 'u1')}


def _dtype(code, *_):
    """Stands in for ``numpy.dtype``: plain numbers only.

    A file asks for a private copy of a dtype, and sets its byte order and flags. It gets the shared
    one, on which numpy ignores that. So the bytes count as native, which is how they were written.
    """
    if not isinstance(code, str) or code not in _DTYPES:
        raise UnpicklingError(f'numpy dtype {code!r} is not one of {", ".join(_DTYPES)}')
    return _DTYPES[code]


class _Array(np.ndarray):
    """Stands in for ``numpy.ndarray`` and ``_reconstruct``: an array that the file may fill once.

    Filling it again would free the memory under a tensor that shares it. It remains of this class,
    which is saved again as the plain array that it is.
    """

    def __new__(cls, *_):
        return super().__new__(cls, 0)

    def __setstate__(self, state):
        if self.size:
            raise UnpicklingError('a numpy array is filled twice')
        super().__setstate__(state)

    def __reduce__(self):
        return np.asarray(self).__reduce__()


class _HistoryBuffer(HistoryBuffer):
    """Stands in for ``HistoryBuffer`` until its state is set: takes over data, but no methods."""

    def __setstate__(self, state):
        # Upstream would put these into a dict that all buffers share, in place of its own.
        state.pop('statistics_methods', None)
        if set(state) != {'max_length', '_log_history', '_count_history'}:
            raise UnpicklingError(f'unexpected state of a HistoryBuffer: {", ".join(state)}')
        for name in ('_log_history', '_count_history'):
            state[name] = np.asarray(state[name])
        super().__setstate__(state)
        self.__class__ = HistoryBuffer


_STATISTICS = ('min', 'max', 'current', 'mean')
_METHODS = {
    (owner, name): getattr(owner, name)
    for owner, names in [
        (HistoryBuffer, _STATISTICS),
        (_HistoryBuffer, _STATISTICS),
        (OneCycleParamScheduler, ('_annealing_cos', '_annealing_linear')),
    ]
    for name in names
}


def _getattr(owner, name):
    """Stands in for ``getattr``, with which pickle looks up the methods that MMEngine stores.

    The real one reaches ``HistoryBuffer.__init__.__globals__``, and through it anything.
    """
    if (owner, name) not in _METHODS:
        raise UnpicklingError(f'getattr({owner!r}, {name!r}) is not allowed')
    return _METHODS[owner, name]


def _safe_globals():
    allowed = {
        'builtins.getattr': _getattr,
        'mmengine.logging.history_buffer.HistoryBuffer': _HistoryBuffer,
        'mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler': OneCycleParamScheduler,
        'numpy.dtype': _dtype,
        'numpy.ndarray': _Array,
    }
    scalar = np.float64(0).__reduce__()[0]
    # numpy 1 and numpy 2 write different names, and each must read the other's checkpoints.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed[f'{module}._reconstruct'] = _Array
        allowed[f'{module}.scalar'] = scalar
    # A file may set the state of a dtype, but must not call its class. It cannot name it either:
    # the name that it asks for always contains a dot.
    allowed.update((code, type(dtype)) for code, dtype in _DTYPES.items())
    return [(value, name) for name, value in allowed.items()]


def allow_runner_checkpoints():
    """``UnpicklingError: Weights only load failed`` when a Runner resumes its own checkpoint.

    MMEngine 0.10.7 with torch >= 2.6, whose ``torch.load`` only takes allowed classes by default:
    the checkpoint's ``message_hub`` holds HistoryBuffers, numpy arrays and numpy scalars, and
    ``param_schedulers`` the annealing function of a one-cycle schedule.
    """
    if torch.__version__ >= (2, 6):
        torch.serialization.add_safe_globals(_safe_globals())


def keep_to_what_is_allowed():
    """``Could not safely load weights``, and the code in the checkpoint has run.

    OneDL's MMEngine 0.10.12 with torch >= 2.6: what torch refuses, it loads once more without
    ``weights_only``. Meanwhile it also allows the real ``getattr`` and numpy's own types.
    """
    if hasattr(checkpoint, '_safe_torch_load'):
        checkpoint._safe_torch_load = torch.load


def restrict_downloaded_checkpoints():
    """A checkpoint from a URL runs whatever code it holds, though a local one cannot.

    MMEngine 0.10.7 and torchvision with torch >= 2.6: both download through ``torch.hub``, which
    unlike ``torch.load`` still loads without ``weights_only`` by default.
    """
    if torch.__version__ >= (2, 6):
        for module, name in [
            (checkpoint, 'load_url'),
            (torchvision_api, 'load_state_dict_from_url'),
        ]:
            load = getattr(module, name)
            if not isinstance(load, partial):
                setattr(module, name, partial(load, weights_only=True))
