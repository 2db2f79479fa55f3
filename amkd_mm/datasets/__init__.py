from .digits import Digits
from .in_memory_custom_dataset import InMemoryCustomDataset
from .tiny_imagenet import TinyImageNet

__all__ = ['Digits', 'InMemoryCustomDataset', 'TinyImageNet']
