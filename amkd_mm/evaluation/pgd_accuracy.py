"""PGDAccuracy: accuracy on images that an attack has moved."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from mmengine.model import BaseModel
from mmpretrain.registry import METRICS
from torch import Tensor

from ..attacks.pgd import pgd
from ..classifiers import predict_logits
from ..classifiers.activation_checkpointing import without_checkpointing
from ..config.argument_checks import check_int, check_number
from ..data_preprocessors.normalizer import Normalizer
from .network_metric import NetworkMetric


@METRICS.register_module()
class PGDAccuracy(NetworkMetric):
    """Accuracy under projected gradient descent (Madry et al., ICLR 2018), in percent.

    Each image is moved within a ball in the L-infinity norm, from a random place in it, to raise
    the cross entropy of its label. The attack knows the network, and is not targeted. It is of the
    student where there is one, otherwise of the classifier that is evaluated. Gives

    - ``pgd/accuracy``: share of the moved images that are classified correctly;
    - ``pgd/clean``: the same of the images before;
    - ``pgd/images``: how many these are.

    An attack finds an upper bound of the accuracy against all perturbations of that size: a network
    that hides its gradient withstands this one without being robust. Attacks such as AutoAttack
    find lower bounds of its errors by more means.

    Args:
        radius (float): Of the ball, in units of the range of pixels, > 0. Defaults to 8/255, as
            usual for CIFAR.
        step_size (float): How far a step moves each pixel, in the same units, > 0. Defaults to
            2/255.
        num_steps (int): At least 1. Defaults to 20.
        num_samples (int): Most images, at least 1. Each costs ``num_steps`` passes of the network,
            forth and back. Defaults to 1000.
        **kwargs: ``collect_device``, ``collect_dir`` and ``prefix`` of ``BaseMetric``. Two of them
            with different radii need a ``prefix`` each.

    Raises:
        ValueError: If an argument is out of its range.
        TypeError: If an argument is no number, or as :class:`NetworkMetric`.
    """

    default_prefix = 'pgd'

    def __init__(
        self,
        radius: float = 8 / 255,
        step_size: float = 2 / 255,
        num_steps: int = 20,
        num_samples: int = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_samples, **kwargs)
        check_number('PGDAccuracy: radius', radius, above=0)
        check_number('PGDAccuracy: step_size', step_size, above=0)
        check_int('PGDAccuracy: num_steps', num_steps, minimum=1)
        self.radius = radius
        self.step_size = step_size
        self.num_steps = num_steps

    def receive_algorithm(self, algorithm: BaseModel, size: int) -> None:
        """See :class:`NetworkMetric`. Each evaluation begins at the same places."""
        super().receive_algorithm(algorithm, size)
        self._generator = torch.Generator().manual_seed(get_rank())

    def measure(
        self, algorithm: BaseModel, inputs: Tensor, labels: Tensor, normalizer: Normalizer
    ) -> list[tuple]:
        """See :class:`NetworkMetric`. Gives whether image and moved image are right."""
        # What MMRazor's algorithms call the student.
        network = getattr(algorithm, 'architecture', algorithm)

        def answer(points: Tensor) -> Tensor:
            return predict_logits(network, normalizer.pad(points))

        radius = normalizer.length(self.radius)
        # On the CPU, so that the figure does not depend on the device.
        draws = torch.rand(inputs.shape, generator=self._generator).to(inputs)
        starts = (inputs + (2 * draws - 1) * radius).clamp(*normalizer.bounds)
        with without_checkpointing(network):
            moved = pgd(
                lambda points: F.cross_entropy(answer(points), labels, reduction='none'),
                inputs,
                starts,
                radius,
                normalizer.length(self.step_size),
                self.num_steps,
                normalizer.bounds,
            )
            with torch.no_grad():
                clean, attacked = (answer(points).argmax(1) == labels for points in (inputs, moved))
        return list(zip(clean.tolist(), attacked.tolist(), strict=True))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """The percentages."""
        found = [result for result in results if result]
        if not found:
            return dict(images=0)
        clean, attacked = (100 * sum(column) / len(found) for column in zip(*found, strict=True))
        return dict(accuracy=attacked, clean=clean, images=len(found))
