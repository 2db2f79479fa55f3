# AMKD with new boundary samples in each step, as BSS has them.
_base_ = ['./amkd.py']

default_hooks = dict(boundary_samples=dict(reuse=1))
