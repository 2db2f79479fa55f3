"""What a sampler gets, without networks of MMPretrain and a Runner."""

import torch
from mmpretrain.models import ClsDataPreprocessor
from torch import nn

from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.samplers import CleanBatch

MEAN, STD = [120.0, 110.0, 100.0], [50.0, 60.0, 70.0]


def clean_batch(rows=12, num_classes=4, size=4, seed=0):
    """A batch that a linear teacher gets right, and a student that guesses.

    The student's logits in the step are noise. As a network it has a hidden layer. The images are
    whole pixels, black and white among them.
    """
    generator = torch.Generator().manual_seed(seed)
    normalizer = Normalizer(ClsDataPreprocessor(mean=MEAN, std=STD))
    images = torch.randint(-60, 316, (rows, 3, size, size), generator=generator).clamp(0, 255)
    inputs = normalizer.normalize(images.float())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        teacher = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, num_classes))
        # Logits that differ as much as those of a trained network.
        nn.init.normal_(teacher[1].weight, std=0.2)
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(3 * size * size, 8), nn.Tanh(), nn.Linear(8, num_classes)
        )
    with torch.no_grad():
        logits = teacher(inputs)
    student = torch.randn(rows, num_classes, generator=generator)
    labels = logits.argmax(1)
    return CleanBatch(inputs, labels, logits, student, teacher, network, normalizer)


def mislabelled(batch, rows):
    """The batch with other labels in some rows, so that the teacher misclassifies them."""
    labels = batch.labels.clone()
    rows = list(rows)
    labels[rows] = (labels[rows] + 1) % batch.teacher_logits.shape[1]
    return batch._replace(labels=labels)
