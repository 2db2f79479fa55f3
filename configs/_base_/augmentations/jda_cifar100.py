# Joint data augmentation (Li et al., ACCV 2022) as published for CIFAR-100: another order, and each
# with probability 0.3. What the magnitudes are is in `jda_cifar10.py`. Two operations do nothing at
# their published level, 0, and are left out: posterising to 8 bits, and a vertical shear by 0.
jda_cifar100 = [
    dict(type='AutoContrast', prob=0.3),
    dict(type='Contrast', magnitude=0.3, prob=0.3),
    dict(type='Solarize', thr=256 - 256 * 4 / 9, prob=0.3),
    dict(type='Translate', magnitude=150 / 331 * 8 / 9, direction='vertical', prob=0.3),
    dict(type='Shear', magnitude=0.3 * 5 / 9, direction='horizontal', prob=0.3),
    dict(type='Brightness', magnitude=0.3, prob=0.3),
    dict(type='Translate', magnitude=150 / 331 * 1 / 9, direction='horizontal', prob=0.3),
    dict(type='Sharpness', magnitude=0.5, prob=0.3),
    dict(type='Invert', prob=0.3),
    dict(type='ColorTransform', magnitude=0.4, prob=0.3),
    dict(type='Equalize', prob=0.3),
    dict(type='Rotate', angle=-30 * 3 / 9, random_negative_prob=0.0, prob=0.3),
]
