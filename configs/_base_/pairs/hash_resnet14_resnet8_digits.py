# Codes of the digits, learned without labels from two views of each image. The database is the
# training images, the queries are the test images.
_base_ = ['../datasets/digits_bs64.py']

data_preprocessor = dict(type='mmpretrain.MultiViewDataPreprocessor')

# The operation of CIBHash that leaves a digit what it is: neither flips nor colours.
train_pipeline = [
    dict(
        type='MultiView',
        num_views=2,
        transforms=[[dict(type='RandomResizedCrop', scale=8, crop_ratio_range=(0.5, 1.0))]],
    ),
    dict(type='PackInputs'),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

database = dict(
    batch_size=64,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='Digits', split='train', pipeline=_base_.test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)

val_evaluator = dict(_delete_=True, type='HammingAveragePrecision', topk=100)
test_evaluator = val_evaluator

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.001))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, T_max=10)
train_cfg = dict(by_epoch=True, max_epochs=10, val_interval=5)
auto_scale_lr = dict(base_batch_size=64)

_student = dict(
    _scope_='mmpretrain',
    type='HashRetriever',
    image_encoder=[dict(type='CifarResNet', depth=8), dict(type='GlobalAveragePooling')],
    head=dict(type='HashHead', num_bits=32, in_channels=64),
    prototype=database,
)

# The checkpoint is the one that `configs/cibhash/cibhash_resnet14_1xb64_digits.py` writes.
pair = dict(
    architecture=_student,
    teacher=dict(
        _student,
        image_encoder=[dict(type='CifarResNet', depth=14), dict(type='GlobalAveragePooling')],
    ),
    teacher_ckpt='work_dirs/cibhash_resnet14_1xb64_digits/epoch_20.pth',
)

# A fixed seed lets the figures in the documentation be had again.
randomness = dict(seed=0)
