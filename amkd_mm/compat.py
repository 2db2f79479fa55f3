"""Repairs for MMRazor 1.0.0 and MMEngine 0.10.7 on current torch, numpy and Python.

:func:`apply` must run before MMRazor's models are imported, so the package calls it first. It edits
no installed file, and each repair says which upstream symptom it removes.
"""

import importlib
import importlib.util
import inspect
import os.path as osp
import sys
import types
import warnings
from functools import partial, wraps
from pickle import UnpicklingError

import mmengine.utils
import mmrazor
import numpy as np
import torch
from mmengine.config import Config
from mmengine.config import config as mmengine_config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.dataset import BaseDataset
from mmengine.hub import hub as mmengine_hub
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler
from mmengine.runner import checkpoint
from mmengine.utils import package_utils

PACKAGE = 'amkd_mm'
QUANTIZATION = 'mmrazor.structures.quantization'


def apply():
    """Apply every repair. Calling it again changes nothing."""
    replace_quantization()
    disable_nested_inplace()
    keep_recorded_outputs()
    allow_runner_checkpoints()
    restrict_downloaded_checkpoints()
    locate_packages_by_import()
    register_config_package()
    silence_missing_operators()
    validate_once()
    classify_single_images()
    load_wrapped_classifiers()
    copy_datasets_apart()


# --- MMRazor's quantisation -----------------------------------------------------------------------


class _NeedsOldTorch:
    """Anything of MMRazor's quantisation: it can be imported, but not used."""

    def __init__(self, name):
        self._name = name

    def _refuse(self, *args, **kwargs):
        raise ImportError(
            f"{self._name}: MMRazor {mmrazor.__version__}'s quantisation needs torch 1.13, whose "
            f'names torch 2 changed; this is torch {torch.__version__}'
        )

    __call__ = __getitem__ = _refuse

    def __getattr__(self, name):
        # Introspection asks for special names and expects this answer.
        if name.startswith('__'):
            raise AttributeError(name)
        self._refuse()


class _QuantizationStandIn(types.ModuleType):
    """Stands in for ``mmrazor.structures.quantization``: has every name, and none of them works."""

    __all__ = ('BackendConfigs', 'QConfigHandler')

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return _NeedsOldTorch(name)


def replace_quantization():
    """``ImportError: `torch>=1.13` is not installed properly`` on ``import mmrazor.models``.

    MMRazor 1.0.0 with torch >= 2: its quantisation backends take names from torch 1.13 that torch 2
    renamed, and everything else in MMRazor imports them.
    """
    if torch.__version__ < (2, 0):
        return
    try:
        importlib.import_module(QUANTIZATION)
    except ImportError:
        sys.modules[QUANTIZATION] = _QuantizationStandIn(QUANTIZATION)


# --- In-place modules -----------------------------------------------------------------------------


def disable_nested_inplace():
    """Recorded features change after they were recorded: a later in-place ReLU overwrites them.

    MMRazor 1.0.0: ``BaseAlgorithm.set_module_inplace_false`` does nothing on torch >= 2, because it
    expects ``nn.Module._modules`` to be an ``OrderedDict``. On any torch it also stops at the first
    module that has ``inplace``, such as mmcv's ``ConvModule``, and misses the activation within.
    """
    from mmrazor.models.algorithms.base import BaseAlgorithm

    BaseAlgorithm.set_module_inplace_false = _set_module_inplace_false


def _set_module_inplace_false(self, architecture, varstr):
    """Set ``inplace`` to False in every module of the model.

    Args:
        architecture (nn.Module): The model to change.
        varstr (str): Unused; MMRazor passes the expression that leads to the model.
    """
    for module in architecture.modules():
        inplace = getattr(module, 'inplace', None)
        # A submodule or a tensor may also be called `inplace`.
        if isinstance(inplace, int) and inplace:
            module.inplace = False


def keep_recorded_outputs():
    """A recorded batch norm is that plus the shortcut: ``out += identity`` overwrites the record.

    MMRazor 1.0.0 records the tensor itself, and MMPretrain's residual blocks add in place. Here the
    network goes on with a copy.
    """
    from mmrazor.models.task_modules.recorder import ModuleOutputsRecorder

    ModuleOutputsRecorder.forward_hook = _record_outputs


def _record_outputs(self, module, inputs, outputs):
    """Forward hook of ``ModuleOutputsRecorder``: record the outputs, and pass on copies."""
    if self.recording:
        self.data_buffer.append(outputs)
        return copy_tensors(outputs)


def copy_tensors(outputs):
    """Copies of a tensor, or of those in a tuple or list; anything else as it is."""
    if isinstance(outputs, torch.Tensor):
        return outputs.clone()
    if type(outputs) in (tuple, list):
        return type(outputs)(map(copy_tensors, outputs))
    return outputs


# --- Checkpoints ----------------------------------------------------------------------------------
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


def restrict_downloaded_checkpoints():
    """A checkpoint from a URL runs whatever code it holds, though a local one cannot.

    MMEngine 0.10.7 with torch >= 2.6: it downloads through ``torch.hub``, which unlike
    ``torch.load`` still loads without ``weights_only`` by default.
    """
    if torch.__version__ >= (2, 6) and not isinstance(checkpoint.load_url, partial):
        checkpoint.load_url = partial(checkpoint.load_url, weights_only=True)


# --- Configs --------------------------------------------------------------------------------------


def locate_packages_by_import():
    """``FileNotFoundError: .../site-packages/amkd_mm/.mim/...`` after ``pip install -e``.

    MMEngine 0.10.7 expects the code of a package beside its metadata, where an editable install has
    none. It also loads ``pkg_resources`` anew for every ``_base_ = 'package::...'``: each time with
    two deprecation warnings, and not at all from setuptools 82 on. Python's own import system needs
    no help to find a package, and names that it does not know are left to MMEngine.
    """
    upstream_is_installed = package_utils.is_installed
    upstream_get_installed_path = package_utils.get_installed_path
    if upstream_is_installed.__module__ == __name__:
        return

    def find(package):
        spec = importlib.util.find_spec(package)
        return osp.dirname(spec.origin) if spec and spec.origin else None

    def is_installed(package):
        return find(package) is not None or upstream_is_installed(package)

    def get_installed_path(package):
        return find(package) or upstream_get_installed_path(package)

    for module in (package_utils, mmengine.utils, mmengine_config, mmengine_hub):
        for function in (is_installed, get_installed_path):
            if hasattr(module, function.__name__):
                setattr(module, function.__name__, function)


def register_config_package():
    """``AssertionError: mmengine does not support to load amkd_mm config``.

    MMEngine 0.10.7 knows the packages whose configs can be inherited by name. For those it also
    looks up the types in an inherited config in a registry of that scope. This package registers in
    MMRazor and MMPretrain and has none, which MMEngine reports as ``amkd_mm is not installed``.
    """
    MODULE2PACKAGE[PACKAGE] = PACKAGE
    upstream_get_cfg_path = Config._get_cfg_path
    if upstream_get_cfg_path.__module__ == __name__:
        return

    def get_cfg_path(cfg_path, filename):
        path, scope = upstream_get_cfg_path(cfg_path, filename)
        return path, None if scope == PACKAGE else scope

    Config._get_cfg_path = staticmethod(get_cfg_path)


def silence_missing_operators():
    """``UserWarning: Fail to import MultiScaleDeformableAttention`` at every start.

    mmcv-lite 2.1.0 has no compiled operators, and image classification needs none.
    """
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')


# --- Validation ---------------------------------------------------------------------------------


def validate_once():
    """With ``EMAHook``, training goes on from averaged weights after each validation.

    MMRazor 1.0.0: ``SingleTeacherDistillValLoop`` calls ``before_val_epoch`` before the student and
    again before the teacher, and ``after_val_epoch`` once. The hook swaps weights at each of them.
    """
    from mmrazor.engine import SingleTeacherDistillValLoop

    upstream_run = SingleTeacherDistillValLoop.run
    if upstream_run.__module__ == __name__:
        return

    def run(self):
        call_hook, called = self.runner.call_hook, []

        def call_once(name, **kwargs):
            if name not in called or name != 'before_val_epoch':
                call_hook(name, **kwargs)
            called.append(name)

        self.runner.call_hook = call_once
        try:
            upstream_run(self)
        finally:
            del self.runner.call_hook

    SingleTeacherDistillValLoop.run = run


# --- MMPretrain's networks ------------------------------------------------------------------------


def classify_single_images():
    """``LeNet5`` gives (K,) and not (1, K) class scores for a batch of one image, without a loss.

    MMPretrain 1.2.0: it drops every dimension of one element, the batch's too. A step may have a
    single boundary sample.
    """
    from mmpretrain.models.backbones import LeNet5

    upstream_forward = LeNet5.forward
    if upstream_forward.__module__ == __name__:
        return

    def forward(self, x):
        (outputs,) = upstream_forward(self, x)
        return (outputs.reshape(len(x), -1) if outputs.dim() == 1 else outputs,)

    LeNet5.forward = forward


def load_wrapped_classifiers():
    """``Missing key(s) in state_dict: "teacher.model.model..."`` when a run is resumed.

    MMPretrain 1.2.0: ``TimmClassifier`` and ``HuggingFaceClassifier`` take the prefix ``model.``
    off the keys that they save, and put it on those that they load. Inside another model PyTorch
    ignores the first, and the second adds a prefix to the one that is still there.
    """
    from mmpretrain.models.classifiers import HuggingFaceClassifier, TimmClassifier

    for kind in (TimmClassifier, HuggingFaceClassifier):
        kind._add_state_dict_prefix = staticmethod(_add_model_prefix)


def _add_model_prefix(state_dict, prefix, *_):
    """Put ``model.`` on the keys below ``prefix``, unless they have it already."""
    # The loss beside the network, such as Seesaw loss, may have buffers.
    loss = f'{prefix}loss_module.'
    own = [key for key in state_dict if key.startswith(prefix) and not key.startswith(loss)]
    inner = f'{prefix}model.'
    if not all(key.startswith(inner) for key in own):
        for key in own:
            state_dict[inner + key[len(prefix) :]] = state_dict.pop(key)


# --- Subsets of datasets --------------------------------------------------------------------------


def copy_datasets_apart():
    """``TypeError: 'CustomDataset' object is not callable``, now and then, with two KFoldDatasets.

    MMEngine 0.10.7: all copies share one memo, which keeps the addresses of datasets that are gone.
    An object of another dataset at such an address is then "copied" as the old dataset's copy.
    """
    upstream_copy = BaseDataset._copy_without_annotation
    if upstream_copy.__module__ == __name__:
        return

    def copy_without_annotation(self, memo=None):
        return upstream_copy(self, {} if memo is None else memo)

    BaseDataset._copy_without_annotation = copy_without_annotation


# --- MMPretrain's browse_dataset ------------------------------------------------------------------


def crop_figures_without_renderer():
    """Let ``adjust_bbox`` find the renderer itself, as before matplotlib 3.11.

    MMPretrain's ``browse_dataset`` calls it without one: ``TypeError: adjust_bbox() missing 1
    required positional argument: 'renderer'``. Not part of :func:`apply`, because only that tool
    needs it.
    """
    from matplotlib import _tight_bbox

    adjust_bbox = _tight_bbox.adjust_bbox
    if inspect.signature(adjust_bbox).parameters.get('renderer') is None:
        return

    @wraps(adjust_bbox)
    def adjust(fig, bbox_inches, renderer=None, fixed_dpi=None):
        renderer = fig.canvas.get_renderer() if renderer is None else renderer
        return adjust_bbox(fig, bbox_inches, renderer, fixed_dpi)

    _tight_bbox.adjust_bbox = adjust
