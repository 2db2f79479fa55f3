# As `cifar10_folder_bs256.py`, but whole batches are cropped and flipped on the device, for a GPU
# that would wait for the pipeline: its crop and flip are moved to the data preprocessor.
_base_ = ['./cifar10_folder_bs256.py']

train_pipeline = [_base_.train_pipeline[0], _base_.train_pipeline[-1]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

data_preprocessor = dict(
    type='mmpretrain.DeviceAugmentDataPreprocessor',
    device_augments=_base_.train_pipeline[1:-1],
)
