# As in DOT (Zhao et al., ICCV 2023): its own mean and deviation, and rotations instead of crops.
_base_ = ['./tiny_imagenet_bs128.py']

data_preprocessor = dict(
    # RGB, as mdistiller.
    mean=[122.451, 114.2655, 101.3625],
    std=[58.701, 57.7575, 57.681],
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    # By up to 20 degrees to either side, each angle as likely as any other.
    dict(type='Rotate', magnitude_range=(0, 20), magnitude_std='inf', prob=1.0, pad_val=0),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]

train_dataloader = dict(batch_size=256, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=256)
test_dataloader = val_dataloader
