_base_ = ['./mmpretrain_resnet_cifar100.py']

resnet18 = dict(head=dict(num_classes=200))
resnet50 = dict(head=dict(num_classes=200))
