"""Optimizer wrappers."""

from .separate_momentum_optim_wrapper import SeparateMomentumOptimWrapper

__all__ = ['SeparateMomentumOptimWrapper']
