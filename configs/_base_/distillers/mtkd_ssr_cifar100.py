_base_ = ['./mtkd_ssr.py']

model = dict(
    distiller=dict(
        connectors=dict(
            student1=dict(num_classes=100),
            student2=dict(num_classes=100),
            teacher1=dict(num_classes=100),
            teacher2=dict(num_classes=100),
        )
    )
)
