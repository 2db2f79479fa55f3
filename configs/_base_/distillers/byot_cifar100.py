_base_ = ['./byot.py']

model = dict(
    distiller=dict(connectors=dict(stage1=dict(num_classes=100), stage2=dict(num_classes=100)))
)
