# Joint data augmentation (Li et al., ACCV 2022): fourteen operations in this order, each with
# probability 0.5. As published for CIFAR-10, where magnitudes are levels, 0 to 9, of AutoAugment's
# ranges: level l is l / 9 of 30 degrees, of 0.3 (shear), of 150 / 331 of the image (translation) or
# of 0.9 (factors of colour and of the like), 8 - 4 l / 9 bits, a threshold of 256 - 256 l / 9. The
# sign is random but that of the rotation, which is counter-clockwise.
jda_cifar10 = [
    dict(type='Invert', prob=0.5),
    dict(type='Rotate', angle=-30 * 2 / 9, random_negative_prob=0.0, prob=0.5),
    dict(type='Shear', magnitude=0.3 * 8 / 9, direction='vertical', prob=0.5),
    dict(type='Posterize', bits=4, prob=0.5),
    dict(type='AutoContrast', prob=0.5),
    dict(type='ColorTransform', magnitude=0.3, prob=0.5),
    dict(type='Sharpness', magnitude=0.9, prob=0.5),
    dict(type='Equalize', prob=0.5),
    dict(type='Contrast', magnitude=0.7, prob=0.5),
    dict(type='Translate', magnitude=150 / 331 * 3 / 9, direction='vertical', prob=0.5),
    dict(type='Brightness', magnitude=0.6, prob=0.5),
    dict(type='Solarize', thr=256 - 256 * 2 / 9, prob=0.5),
    dict(type='Translate', magnitude=150 / 331 * 3 / 9, direction='horizontal', prob=0.5),
    dict(type='Shear', magnitude=0.3 * 8 / 9, direction='horizontal', prob=0.5),
]
