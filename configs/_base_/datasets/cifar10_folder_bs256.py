# CIFAR-10 as a folder of image files: data/cifar10_folder/{train,test}/<class>/*.
# Classes are numbered in alphabetical order, which is CIFAR-10's own.
_base_ = ['./cifar10_bs256.py']

# Files are loaded as BGR.
data_preprocessor = dict(to_rgb=True)

train_pipeline = [dict(type='LoadImageFromFile'), *_base_.train_pipeline]
test_pipeline = [dict(type='LoadImageFromFile'), *_base_.test_pipeline]

root = dict(_delete_=True, type='CustomDataset', data_root='data/cifar10_folder')
train_dataloader = dict(dataset=dict(root, data_prefix='train', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(root, data_prefix='test', pipeline=test_pipeline))
test_dataloader = val_dataloader
