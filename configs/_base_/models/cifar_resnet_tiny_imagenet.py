_base_ = ['./cifar_resnet.py']

resnet20 = dict(head=dict(num_classes=200))
resnet56 = dict(head=dict(num_classes=200))
