"""Data preprocessors from what configs say of them."""

from mmengine.model import BaseDataPreprocessor
from mmrazor.registry import MODELS
from torch import nn

DEFAULT_PREPROCESSOR = 'mmpretrain.ClsDataPreprocessor'


def build_preprocessor(settings: dict | nn.Module) -> BaseDataPreprocessor:
    """Build a data preprocessor; as in MMPretrain, ``type`` may be left out."""
    if isinstance(settings, nn.Module):
        return settings
    return MODELS.build({'type': DEFAULT_PREPROCESSOR, '_scope_': 'mmpretrain', **settings})
