_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    '../_base_/models/mmpretrain_resnet_in1k.py',
    '../_base_/schedules/imagenet_bs256_100e.py',
    '../_base_/distillers/wsld.py',
    '../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.resnet18,
    teacher=_base_.resnet50,
    teacher_ckpt=_base_.resnet50_ckpt,
    # Temperature and weight of the paper for ImageNet, as in MMRazor.
    distiller=dict(distill_losses=dict(loss_wsld=dict(tau=2, loss_weight=2.5, num_classes=1000))),
)
