# The published setting of BRCD on CIFAR-10: frozen networks of ImageNet, of which only the heads
# are trained, on 5,000 images. The database is all training images, the queries are the test
# images.
data_preprocessor = dict(
    type='mmpretrain.MultiViewDataPreprocessor',
    # ImageNet's. CIFAR-10 is loaded as RGB.
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=False,
)

_jitter = dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
train_pipeline = [
    dict(
        type='MultiView',
        num_views=2,
        transforms=[
            [
                dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.5, 1.0)),
                dict(type='RandomFlip', prob=0.5),
                dict(
                    type='RandomApply',
                    transforms=[_jitter],
                    prob=0.7,
                ),
                dict(type='RandomGrayscale', prob=0.2, keep_channels=True),
                dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), prob=0.5),
            ]
        ],
    ),
    dict(type='PackInputs'),
]

test_pipeline = [
    dict(type='Resize', scale=224),
    dict(type='PackInputs'),
]

_loader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
_images = dict(type='CIFAR10', data_root='data/cifar10', split='train', pipeline=test_pipeline)

train_dataloader = dict(
    _loader,
    dataset=dict(_images, pipeline=train_pipeline, indices=5000),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
# The training images as they are, whose codes are clustered, and what is searched.
clustered = dict(_loader, persistent_workers=False, dataset=dict(_images, indices=5000))
database = dict(_loader, persistent_workers=False, dataset=_images)

val_dataloader = dict(_loader, dataset=dict(_images, split='test'))
val_evaluator = dict(type='HammingAveragePrecision', topk=1000)

test_dataloader = val_dataloader
test_evaluator = val_evaluator

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.001))
train_cfg = dict(by_epoch=True, max_epochs=400, val_interval=10)
auto_scale_lr = dict(base_batch_size=64)

_weights = 'https://download.openmmlab.com/mmclassification/v0/'
_of_efficientnet = 'efficientnet/efficientnet-b0_3rdparty_8xb32_in1k_20220119-a7e2a0b1.pth'
_of_vit = 'deit/deit-base_3rdparty_pt-16xb64_in1k_20211124-6f40c188.pth'
_efficientnet_b0 = dict(
    type='EfficientNet',
    arch='b0',
    frozen_stages=7,
    init_cfg=dict(
        type='Pretrained',
        checkpoint=_weights + _of_efficientnet,
        prefix='backbone.',
    ),
)
_vit_base = dict(
    type='VisionTransformer',
    arch='deit-base',
    img_size=224,
    patch_size=16,
    frozen_stages=12,
    init_cfg=dict(
        type='Pretrained',
        checkpoint=_weights + _of_vit,
        prefix='backbone.',
    ),
)

# The checkpoint is the one that `configs/cibhash/cibhash_vit-base_1xb64_cifar10.py` writes.
pair = dict(
    architecture=dict(
        _scope_='mmpretrain',
        type='HashRetriever',
        image_encoder=[_efficientnet_b0, dict(type='GlobalAveragePooling')],
        head=dict(type='HashHead', num_bits=64, in_channels=1280, hidden_channels=1000),
        prototype=database,
    ),
    teacher=dict(
        _scope_='mmpretrain',
        type='HashRetriever',
        image_encoder=_vit_base,
        head=dict(type='HashHead', num_bits=64, in_channels=768),
        prototype=database,
    ),
    teacher_ckpt='work_dirs/cibhash_vit-base_1xb64_cifar10/epoch_200.pth',
)
