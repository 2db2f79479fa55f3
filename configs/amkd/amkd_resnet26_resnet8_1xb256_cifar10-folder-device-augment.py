# Whole batches are cropped and flipped on the device, for a GPU that would wait for the pipeline:
# its crop and flip move to the data preprocessor.
_base_ = ['./amkd_resnet26_resnet8_1xb256_cifar10-folder.py']

train_pipeline = [_base_.train_pipeline[0], _base_.train_pipeline[-1]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

data_preprocessor = dict(
    type='mmpretrain.DeviceAugmentDataPreprocessor',
    device_augments=_base_.train_pipeline[1:-1],
)
