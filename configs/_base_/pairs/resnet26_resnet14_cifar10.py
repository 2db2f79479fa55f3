_base_ = ['./resnet26_resnet8_cifar10.py']

pair = dict(architecture=_base_.resnet14)
