_base_ = ['./cifar_resnet.py']

resnet8 = dict(head=dict(num_classes=200))
resnet20 = dict(head=dict(num_classes=200))
resnet26 = dict(head=dict(num_classes=200))
resnet56 = dict(head=dict(num_classes=200))
