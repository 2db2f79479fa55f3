"""From batches of a dataloader to inputs of networks."""

from .device_augment_data_preprocessor import DeviceAugmentDataPreprocessor
from .device_augments import DeviceAugment, RandomCrop, RandomFlip

__all__ = [
    'DeviceAugment',
    'DeviceAugmentDataPreprocessor',
    'RandomCrop',
    'RandomFlip',
]
