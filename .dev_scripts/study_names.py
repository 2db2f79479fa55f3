"""Names of the study's settings and measures for readers: what tables and plots call them.

"Tuned KD" is the KD of ``configs/kd``; "student-correct" is AMKD from base samples that the student
classifies correctly (``student_correct=True``), as BSS has them.
"""

NAMES = {
    'alone-lr0.1-wd1e-4': 'student alone, weight decay 1e-4',
    'alone-lr0.1-wd5e-4': 'student alone',
    'alone-lr0.2-wd1e-4': 'student alone, learning rate 0.2, weight decay 1e-4',
    'alone-lr0.2-wd5e-4': 'student alone, learning rate 0.2',
    'kd-bss': 'KD, temperature and weights of BSS',
    'kd-tau4-w1': 'KD',
    'kd-tau4-w4': 'KD, weight 4',
    'kd-tau8-w1': 'KD, temperature 8',
    'kd-tau4-w1-lr0.025': 'KD, learning rate 0.025',
    'kd-tau4-w1-lr0.05': 'KD, learning rate 0.05',
    'kd-tau4-w1-lr0.2': 'KD, learning rate 0.2',
    'kd-clip2': 'KD, gradients clipped',
    'kd-clip2-lr0.2': 'KD, gradients clipped, learning rate 0.2',
    'kd-triplet-w1': 'KD and the triplet loss on clean images',
    'kd-triplet-w3': 'KD and the triplet loss on clean images, weight 3',
    'kd-teacher-space-w4': "KD and a triplet loss among the teacher's embeddings, weight 4",
    'dkd-beta1': 'DKD, beta 1',
    'dkd-beta2': 'DKD, beta 2',
    'dkd-beta2-lr0.05': 'DKD, beta 2, learning rate 0.05',
    'dkd-beta4': 'DKD, beta 4',
    'dkd-beta8': 'DKD, beta 8',
    'ls-w1': 'logit-standardised KD, weight 1',
    'ls-w3': 'logit-standardised KD, weight 3',
    'ls-w9': 'logit-standardised KD, weight 9',
    'ls-w18': 'logit-standardised KD, weight 18',
    'bss-published': 'BSS as published',
    'bss-kd-w1': 'BSS with tuned KD, half the weight on boundary samples',
    'bss-kd-w2': 'BSS with tuned KD',
    'bss-kd-w4': 'BSS with tuned KD, twice the weight on boundary samples',
    'amkd': 'AMKD, new samples in each step',
    'amkd-dkd-beta2': 'AMKD with DKD on clean images',
    'amkd-as-data': 'AMKD, boundary samples as more training images',
    # How close to the boundary.
    'amkd-attack-bss': 'AMKD, attack of BSS',
    'amkd-attack-overshoot1': 'AMKD, samples a little beyond the boundary',
    # The triplet loss.
    'amkd-margin0.1': 'AMKD, margin 0.1',
    'amkd-margin1': 'AMKD, margin 1',
    'amkd-teacher-gap': "AMKD, the teacher's distances as the margin",
    'amkd-triplet-cosine': 'AMKD, cosine distance',
    'amkd-triplet-squared': 'AMKD, squared distance',
    'amkd-triplet-raw': 'AMKD, embeddings not normalised',
    'amkd-positive-hardest': 'AMKD, hardest positive',
    'amkd-negative-mean': 'AMKD, mean over the negatives',
    'amkd-logits': 'AMKD, triplet loss on logits',
    'amkd-teacher-anchor': "AMKD, the teacher's embedding as the positive",
    'amkd-boundary-negatives-w1': "AMKD, the teacher's boundary samples as negatives",
    'amkd-negatives-target': 'AMKD, negatives of the target class only',
    # Batch norm.
    'amkd-norm-batch': 'AMKD, running statistics of clean images only',
    'amkd-norm-running': 'AMKD, boundary samples normalised by running statistics',
    # Which samples, and when.
    'amkd-samples0.125': 'AMKD, half as many boundary samples',
    'amkd-samples0.5': 'AMKD, twice as many boundary samples',
    'amkd-base-discrepancy': 'AMKD, base samples by discrepancy',
    'amkd-target-runner-up': "AMKD, towards the teacher's second class",
    'amkd-target-random': 'AMKD, towards a random class',
    'amkd-reuse2': 'AMKD, each sample in 2 steps',
    # As in `configs/amkd`.
    'amkd-reuse4': 'AMKD',
    'amkd-reuse8': 'AMKD, each sample in 8 steps',
    # Other samples, each in 4 steps.
    'reuse4-noise': 'noise instead of boundary samples',
    'reuse4-between': 'samples between two images, on the boundary',
    'reuse4-mixed': 'samples between two images, anywhere',
    'reuse4-beyond': 'samples beyond the boundary, by the attack of BSS',
    'reuse4-joint': "boundary samples in a direction in which both networks' margins fall",
    'reuse4-smooth4': 'boundary samples by perturbations in blocks of 4 pixels',
    'amkd-two-boundaries': 'AMKD, two targets for each base sample',
    'amkd-both-sides': 'AMKD, samples from both sides of the boundary',
    'amkd-to-the-end': 'AMKD, boundary samples to the end, constant weight',
    'amkd-late': 'AMKD, boundary samples to the end, rising weight',
    'amkd-together': 'AMKD, boundary samples to the end, cosine distance, margin 1',
    # From base samples that the student classifies correctly.
    'amkd-correct': 'AMKD, student-correct',
    'amkd-correct-conflict': 'AMKD, student-correct, gradients logged',
    'amkd-correct-norm-batch': 'AMKD, student-correct, running statistics of clean images only',
    'amkd-correct-tau4-w1': 'AMKD, student-correct, full weight on boundary samples',
    'amkd-correct-triplet-w0': 'AMKD, student-correct, no triplet loss',
    'amkd-correct-triplet-w3': 'AMKD, student-correct, triplet loss with weight 3',
    'amkd-correct-triplet-only': 'AMKD, student-correct, no KD on boundary samples',
    'amkd-correct-both-anchors': 'AMKD, student-correct, triplet loss on clean images, too',
    'amkd-correct-teacher-space-w4': (
        "AMKD, student-correct, triplet loss among the teacher's embeddings, weight 4"
    ),
    'amkd-correct-between': 'AMKD, student-correct, samples between two images',
    'amkd-correct-between-tau4-w1': (
        'AMKD, student-correct, full weight on samples between two images'
    ),
    'amkd-correct-smooth4': 'AMKD, student-correct, perturbations in blocks of 4 pixels',
}

# Columns of the measures, by their names in ``docs/results/runs.csv``.
MEASURE_NAMES = dict(
    ece='calibration error (%)',
    agreement='agreement, clean (%)',
    boundary_agreement='agreement, boundary (%)',
    mag_sim='MagSim',
    ang_sim='AngSim',
)
