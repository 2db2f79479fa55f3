# Widths of the embeddings of the ResNets for ImageNet, and its number of training images.
_base_ = ['./crd.py']

model = dict(
    distiller=dict(
        distill_losses=dict(loss_crd=dict(sample_n=1281167)),
        connectors=dict(student=dict(dim_in=512), teacher=dict(dim_in=2048)),
    )
)
