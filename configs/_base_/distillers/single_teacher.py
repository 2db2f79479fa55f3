# What all distillers with one frozen teacher share.
_base_ = ['../default_runtime.py']

model = dict(
    _scope_='mmrazor',
    # MMRazor's SingleTeacherDistill, which also refuses a teacher's checkpoint that does not fit.
    # Where hooks make samples, it is `AMKD`.
    type='CheckedSingleTeacherDistill',
    distiller=dict(type='ConfigurableDistiller'),
)

# Validates the student and the teacher.
val_cfg = dict(type='mmrazor.SingleTeacherDistillValLoop')
test_cfg = dict()
