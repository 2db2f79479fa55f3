"""NetworkMetric: a metric of what networks do beside the images, not of predictions."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.model import BaseModel
from torch import Tensor

from ..config.argument_checks import check_int
from ..data_preprocessors.normalizer import Normalizer
from ..datasets.batches import read_batch
from .sparing_metric import SparingMetric


class NetworkMetric(SparingMetric):
    """Asks the networks of an algorithm about some of the images that are evaluated.

    A metric sees predictions and batches, but no network. ``MetricAlgorithmHook``, which the
    configs of this project have, gives it the algorithm before an evaluation. It then measures
    once: MMRazor's validation of the teacher, which follows that of the student, has nothing to
    add.

    The images are drawn once for all, with a seed of their own: each evaluation has the same
    ones, on any number of processes, if they get the images in turn as from MMEngine's
    ``DefaultSampler``. The networks are asked in full precision.

    Args:
        num_samples (int): Most images, at least 1. Defaults to 1000.
        **kwargs: ``collect_device``, ``collect_dir`` and ``prefix`` of ``BaseMetric``.

    Raises:
        ValueError: If ``num_samples`` is below 1.
        TypeError: If nothing gives the algorithm to the metric, or, in a test, the images are not
            as MMPretrain's datasets and preprocessors give them. In a training, images on which the
            metric fails are left out, with one warning.
    """

    def __init__(self, num_samples: int = 1000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_int(f'{self.name}: num_samples', num_samples, minimum=1)
        self.num_samples = num_samples
        self._algorithm: BaseModel | None = None
        self._was_given = False

    @abstractmethod
    def measure(
        self, algorithm: BaseModel, inputs: Tensor, labels: Tensor, normalizer: Normalizer
    ) -> list[tuple]:
        """Look at some images.

        Args:
            algorithm (BaseModel): Has the networks.
            inputs (Tensor): Normalised images without padding, (N, C, H, W).
            labels (Tensor): Labels, (N,).
            normalizer (Normalizer): The way between pixels and inputs, and their bounds.

        Returns:
            list[tuple]: What to keep of each image; an empty tuple for nothing.
        """

    def receive_algorithm(self, algorithm: BaseModel, size: int) -> None:
        """Begin an evaluation.

        Args:
            algorithm (BaseModel): Has a ``data_preprocessor``.
            size (int): Number of images.
        """
        self._algorithm, self._was_given = algorithm, True
        drawn = torch.randperm(size, generator=torch.Generator().manual_seed(0))
        self._drawn = set(drawn[: self.num_samples].tolist())
        self._position, self._stride = get_dist_info()
        self._checked = False
        self.results.clear()  # An evaluation before may have failed.

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Look at those images of the batch that were drawn."""
        if not self._was_given:
            raise TypeError(
                f'{self.name} was not given the networks: add '
                "metric_algorithm=dict(type='mmrazor.MetricAlgorithmHook') to `default_hooks`"
            )
        if self._algorithm is None:
            return
        number = len(data_samples)
        positions = range(self._position, self._position + number * self._stride, self._stride)
        self._position = positions.stop
        rows = [row for row, position in enumerate(positions) if position in self._drawn]
        # One of each image: processes put theirs together in turn, and drop None.
        found: list[tuple] = [()] * number
        if rows:
            with self.sparing():
                measured = self._measure_rows(self._algorithm, data_batch, rows)
                for row, result in zip(rows, measured, strict=True):
                    found[row] = result
        self.results.extend(found)

    def _measure_rows(self, algorithm: BaseModel, data_batch: dict, rows: list[int]) -> list[tuple]:
        """Look at some rows of a batch."""
        pixels, labels = read_batch(self.name, 'test_pipeline', data_batch)
        device = algorithm.data_preprocessor.device
        pixels, labels = pixels[rows].to(device), labels[rows].to(device)
        normalizer = Normalizer(algorithm.data_preprocessor)
        if not self._checked:
            normalizer.check(pixels)
            self._checked = True
        return self.measure(algorithm, normalizer.normalize(pixels), labels, normalizer)

    def evaluate(self, size: int) -> dict[str, float]:
        """The metrics of this evaluation; none of that of the teacher alone."""
        if self._was_given and self._algorithm is None:
            return {}
        self._algorithm = None
        return super().evaluate(size)
