_base_ = ['./cifar10_bs256.py']

data_preprocessor = dict(
    num_classes=100,
    # RGB, as MMPretrain's CIFAR-100.
    mean=[129.304, 124.070, 112.434],
    std=[68.170, 65.392, 70.418],
)

train_dataloader = dict(batch_size=64, dataset=dict(type='CIFAR100', data_root='data/cifar100'))
val_dataloader = dict(batch_size=64, dataset=dict(type='CIFAR100', data_root='data/cifar100'))
test_dataloader = val_dataloader
