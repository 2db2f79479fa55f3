"""From batches of a dataloader to inputs of networks."""

from .device_augment_data_preprocessor import DeviceAugmentDataPreprocessor
from .device_augments import DeviceAugment, RandomCrop, RandomFlip
from .multi_view_data_preprocessor import MultiViewDataPreprocessor

__all__ = [
    'DeviceAugment',
    'DeviceAugmentDataPreprocessor',
    'MultiViewDataPreprocessor',
    'RandomCrop',
    'RandomFlip',
]
