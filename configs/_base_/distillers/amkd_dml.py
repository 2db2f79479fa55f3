# AMKD with deep mutual learning instead of KD from a teacher that knows all: both networks begin
# untrained, and the boundary samples are those of `teacher`, whose boundary moves.
_base_ = ['./amkd.py', './mutual_learning.py']

model = _base_.mutual_learning

# What was on the boundary some steps ago need not be there now.
default_hooks = dict(boundary_samples=dict(reuse=1))

# Both networks are results.
test_cfg = dict(type='mmrazor.SingleTeacherDistillTestLoop')
