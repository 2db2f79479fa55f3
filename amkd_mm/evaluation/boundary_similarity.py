"""BoundarySimilarity: how alike the decision boundaries of student and teacher are."""

import logging

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmpretrain.registry import METRICS
from torch import Tensor

from ..attacks.base import Bounds, Model
from ..attacks.targets import runner_up_target
from .pair_metric import PairMetric


@METRICS.register_module()
class BoundarySimilarity(PairMetric):
    """MagSim and AngSim of the decision boundaries of student and teacher.

    The same image is moved to the same boundary, that of its class with another, once of the
    teacher and once of the student. Two perturbations that are alike say that the boundaries lie
    alike. Gives

    - ``boundary_similarity/mag_sim``: mean ratio of the shorter perturbation's length to the
      longer one's, in (0, 1];
    - ``boundary_similarity/ang_sim``: mean cosine of the angle between them, in [-1, 1];
    - ``boundary_similarity/images``: how many images these are means of.

    An image counts if both networks classify it correctly and both perturbations reach the target
    class. If none does, ``images`` is 0, and the other two are left out with a warning.

    The two measures, the magnitude of which is the distance to the boundary and the angle of which
    is the direction, are from BSS (Heo et al., AAAI 2019, arXiv 1805.05532). Its formulae could not
    be read; ratio and cosine are the usual ones for such measures. Ours are the attack, the target
    (the teacher's second class on the image) and which images count. Lengths and angles are those
    of the student's normalised inputs.

    Args:
        num_samples (int): Most images, at least 1. Each costs two attacks. Defaults to 1000.
        attack (dict, optional): Config of the attack. Defaults to None,
            ``dict(type='BoundarySearch')``, whose perturbations end at the boundary; those of
            ``BSSAttack`` usually end far behind it.
        **kwargs: As ``PairMetric``.

    Raises:
        KeyError, TypeError, ValueError: As ``PairMetric``.
    """

    default_prefix = 'boundary_similarity'

    def compare(
        self, teacher: Model, student: Model, inputs: Tensor, labels: Tensor, bounds: Bounds
    ) -> list[tuple]:
        """See :class:`PairMetric`. Gives ratio and cosine of each image that counts."""
        with torch.no_grad():
            logits = teacher(inputs)
            correct = (logits.argmax(1) == labels) & (student(inputs).argmax(1) == labels)
        rows = correct.nonzero().flatten()
        inputs, labels = inputs[rows], labels[rows]
        targets = runner_up_target(logits[rows], labels)
        ends = [self.attack(one, inputs, labels, targets, bounds) for one in (teacher, student)]
        reached = ends[0].reached & ends[1].reached
        first, second = ((end.inputs - inputs)[reached].flatten(1).float() for end in ends)
        ratios, cosines = magnitude_similarity(first, second), F.cosine_similarity(first, second)

        found: list[tuple] = [()] * len(correct)
        pairs = zip(ratios.tolist(), cosines.tolist(), strict=True)
        for row, pair in zip(rows[reached].tolist(), pairs, strict=True):
            found[row] = pair
        return found

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """The means over the images that count."""
        pairs = [result for result in results if result]
        if not pairs:
            print_log(
                'BoundarySimilarity: there is no image that both networks classify correctly and '
                'that could be moved to the boundaries of both',
                logger='current',
                level=logging.WARNING,
            )
            return dict(images=0)
        ratio, cosine = torch.tensor(pairs, dtype=torch.float64).mean(0).tolist()
        return dict(mag_sim=ratio, ang_sim=cosine, images=len(pairs))


def magnitude_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Ratio of the shorter to the longer vector of each row, (N, D) and (N, D) to (N,)."""
    lengths = torch.stack([first.norm(dim=1), second.norm(dim=1)])
    return lengths.amin(0) / lengths.amax(0)
