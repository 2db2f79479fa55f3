_base_ = ['./cifar_resnet.py']

resnet20 = dict(head=dict(num_classes=100))
resnet56 = dict(head=dict(num_classes=100))
