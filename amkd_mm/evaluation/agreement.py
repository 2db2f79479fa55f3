"""Agreement: how often the student predicts what the teacher predicts."""

import logging

import torch
from mmengine.logging import print_log
from mmpretrain.registry import METRICS
from torch import Tensor

from ..attacks.base import Bounds, Model
from ..attacks.targets import runner_up_target
from .pair_metric import PairMetric


@METRICS.register_module()
class Agreement(PairMetric):
    """Share of images for which student and teacher predict the same class, in percent.

    Agreement on clean images is the fidelity of Stanton et al., NeurIPS 2021 (arXiv 2106.05945).
    That on boundary samples of the teacher (ours) says whether the student has the teacher's
    boundary where the teacher has it. Gives

    - ``agreement/clean``: on the images, right or wrong;
    - ``agreement/boundary``: on images that the teacher classifies correctly, after they were moved
      into its second class;
    - ``agreement/boundary_images``: how many reached that, and are counted.

    Where there are none, the percentage is left out with a warning. A boundary sample is a close
    call for the teacher, so that ``boundary`` is usually much lower than ``clean``.

    Args:
        num_samples (int): Most images, at least 1. Each costs an attack. Defaults to 1000.
        attack (dict, optional): Config of the attack. Defaults to None,
            ``dict(type='BoundarySearch')``.
        **kwargs: As ``PairMetric``.

    Raises:
        KeyError, TypeError, ValueError: As ``PairMetric``.
    """

    default_prefix = 'agreement'

    @torch.no_grad()
    def compare(
        self, teacher: Model, student: Model, inputs: Tensor, labels: Tensor, bounds: Bounds
    ) -> list[tuple]:
        """See :class:`PairMetric`. Gives one bool for the image and, if it moved, another."""
        logits = teacher(inputs)
        predicted = logits.argmax(1)
        targets = runner_up_target(logits, labels).masked_fill(predicted != labels, -1)
        end = self.attack(teacher, inputs, labels, targets, bounds)
        moved = (targets >= 0) & end.reached
        clean = student(inputs).argmax(1) == predicted
        boundary = student(end.inputs).argmax(1) == end.logits.argmax(1)
        return [
            (on_clean, on_boundary) if counts else (on_clean,)
            for on_clean, on_boundary, counts in zip(
                clean.tolist(), boundary.tolist(), moved.tolist(), strict=True
            )
        ]

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """The percentages."""
        clean = [result[0] for result in results if result]
        boundary = [result[1] for result in results if len(result) > 1]
        metrics = {}
        if clean:
            metrics['clean'] = 100 * sum(clean) / len(clean)
        if boundary:
            metrics['boundary'] = 100 * sum(boundary) / len(boundary)
        else:
            print_log(
                'Agreement: no image that the teacher classifies correctly could be moved to its '
                'boundary',
                logger='current',
                level=logging.WARNING,
            )
        return dict(metrics, boundary_images=len(boundary))
