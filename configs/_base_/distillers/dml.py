# Deep mutual learning (Zhang et al., CVPR 2018): two untrained networks teach each other.
_base_ = ['./kd.py', './mutual_learning.py']

model = _base_.mutual_learning

# Both networks are results.
test_cfg = dict(type='mmrazor.SingleTeacherDistillTestLoop')
