"""MMRazor's quantisation, which only torch 1.13 can import."""

import importlib
import sys
import types

import mmrazor
import torch

QUANTIZATION = 'mmrazor.structures.quantization'


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    replace_quantization()


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
