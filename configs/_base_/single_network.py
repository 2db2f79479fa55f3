# Training of a single network: runtime, and validation by the usual loops of MMEngine.
_base_ = ['./default_runtime.py']

val_cfg = dict()
test_cfg = dict()
