# The last stage has 2x2 maps.
_base_ = ['./byot.py']

model = dict(distiller=dict(connectors=dict(stage1=dict(pool_size=2), stage2=dict(pool_size=2))))
