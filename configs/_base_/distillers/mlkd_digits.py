# Of images of 8x8 Cutout takes as large a part as of CIFAR's.
_base_ = ['./mlkd.py']

default_hooks = dict(
    augmented_samples=dict(
        transforms=[
            *_base_.randaugment_cifar[:1],
            {**_base_.randaugment_cifar[1], 'magnitude_range': (0, 4)},
        ]
    ),
)
