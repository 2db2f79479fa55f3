from .digits import Digits
from .tiny_imagenet import TinyImageNet

__all__ = ['Digits', 'TinyImageNet']
