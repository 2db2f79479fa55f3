_base_ = ['./default_runtime.py']

# So that the figures in the documentation can be had again.
randomness = dict(seed=0)
