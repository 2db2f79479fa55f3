# RandAugment as FixMatch (Sohn et al., NeurIPS 2020) has it: two of fourteen operations, each with
# a magnitude drawn uniformly, and Cutout of up to half of the edge. Factors of brightness, colour,
# contrast and sharpness are between 0.05 and 0.95: MMPretrain's are 1 minus the magnitude. An
# operation that changes nothing is one of the fourteen: a rotation by 0.
factor = dict(magnitude_range=(0.05, 0.95), random_negative_prob=1.0, prob=1.0)

randaugment_cifar = [
    dict(
        type='RandAugment',
        num_policies=2,
        magnitude_level=10,
        magnitude_std='inf',
        hparams=dict(pad_val=0),
        policies=[
            dict(type='AutoContrast', prob=1.0),
            dict(type='Brightness', **factor),
            dict(type='ColorTransform', **factor),
            dict(type='Contrast', **factor),
            dict(type='Equalize', prob=1.0),
            dict(type='Rotate', angle=0.0, prob=1.0),
            dict(type='Posterize', magnitude_range=(4, 8), prob=1.0),
            dict(type='Rotate', magnitude_range=(0, 30), prob=1.0),
            dict(type='Sharpness', **factor),
            dict(type='Shear', magnitude_range=(0, 0.3), direction='horizontal', prob=1.0),
            dict(type='Shear', magnitude_range=(0, 0.3), direction='vertical', prob=1.0),
            dict(type='Solarize', magnitude_range=(0, 256), prob=1.0),
            dict(type='Translate', magnitude_range=(0, 0.3), direction='horizontal', prob=1.0),
            dict(type='Translate', magnitude_range=(0, 0.3), direction='vertical', prob=1.0),
        ],
    ),
    dict(
        type='Cutout',
        magnitude_range=(0, 16),
        magnitude_level=10,
        magnitude_std='inf',
        pad_val=(125, 123, 114),
        prob=1.0,
    ),
]
