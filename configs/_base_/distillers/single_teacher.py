# What all distillers with one frozen teacher share.
_base_ = ['../default_runtime.py']

model = dict(
    _scope_='mmrazor',
    # Without boundary samples this is MMRazor's SingleTeacherDistill, and refuses a teacher
    # checkpoint that does not fit.
    type='AMKD',
    distiller=dict(type='ConfigurableDistiller'),
)

# Validates the student and the teacher.
val_cfg = dict(type='mmrazor.SingleTeacherDistillValLoop')
test_cfg = dict()
