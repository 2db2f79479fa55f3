_base_ = ['./resnet26_resnet8_digits.py']

pair = dict(architecture=_base_.resnet14)
