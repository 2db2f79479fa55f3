_base_ = ['./resnet26_resnet8_cifar10_folder.py']

pair = dict(architecture=_base_.resnet14)
