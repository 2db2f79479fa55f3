# The last stage has 2x2 maps.
_base_ = ['./mtkd_ssr.py']

model = dict(
    distiller=dict(
        connectors=dict(
            student1=dict(pool_size=2),
            student2=dict(pool_size=2),
            teacher1=dict(pool_size=2),
            teacher2=dict(pool_size=2),
        )
    )
)
