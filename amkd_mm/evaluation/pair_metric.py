"""PairMetric: a metric of what student and teacher do near the boundary, not of predictions."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import torch
from mmengine.dist import get_dist_info
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from ..attacks import build_attack
from ..attacks.base import Bounds, Model
from ..classifiers import predict_logits
from ..classifiers.activation_checkpointing import without_checkpointing
from ..config.argument_checks import check_int
from ..data_preprocessors.normalizer import Normalizer
from ..datasets.batches import read_batch
from .sparing_metric import SparingMetric


class Pair(Protocol):
    """What a metric needs of an algorithm."""

    teacher: nn.Module
    student: nn.Module
    data_preprocessor: BaseDataPreprocessor


class PairMetric(SparingMetric):
    """Asks student and teacher about some of the images that are evaluated.

    A metric sees predictions and batches, but no network. ``MetricAlgorithmHook``, which the
    configs of this project have, gives it the algorithm before an evaluation. It then measures
    once: MMRazor's validation of the teacher, which follows that of the student, has nothing to
    add.

    The images are drawn once for all, with a seed of their own: each evaluation has the same
    ones, on any number of processes, if they get the images in turn as from MMEngine's
    ``DefaultSampler``. Both networks are asked in full precision, about images as the student
    gets them.

    Args:
        num_samples (int): Most images, at least 1. Defaults to 1000.
        attack (dict, optional): Config of a boundary attack in ``mmrazor.registry.TASK_UTILS``.
            Defaults to None, ``dict(type='BoundarySearch')``.
        **kwargs: ``collect_device``, ``collect_dir`` and ``prefix`` of ``BaseMetric``.

    Raises:
        KeyError: If there is no such attack.
        ValueError: If ``num_samples`` is below 1.
        TypeError: If the model has no teacher and student, nothing gives it to the metric, or, in
            a test, the images are not as MMPretrain's datasets and preprocessors give them. In a
            training, images on which the metric fails are left out, with one warning.
    """

    def __init__(self, num_samples: int = 1000, attack: dict | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_int(f'{self.name}: num_samples', num_samples, minimum=1)
        self.num_samples = num_samples
        self.attack = build_attack(attack or dict(type='BoundarySearch'))
        self._algorithm: Pair | None = None
        self._was_given = False

    @abstractmethod
    def compare(
        self, teacher: Model, student: Model, inputs: Tensor, labels: Tensor, bounds: Bounds
    ) -> list[tuple]:
        """Compare both networks on some images.

        Args:
            teacher (Callable): Maps inputs to the teacher's logits, (N, K), differentiable.
            student (Callable): The same of the student.
            inputs (Tensor): Normalised images, (N, C, H, W).
            labels (Tensor): Labels, (N,).
            bounds (tuple): Lowest and highest inputs that are images.

        Returns:
            list[tuple]: What to keep of each image; an empty tuple for nothing.
        """

    def receive_algorithm(self, algorithm: Pair, size: int) -> None:
        """Begin an evaluation.

        Args:
            algorithm (Pair): Has a ``teacher``, a ``student`` and a ``data_preprocessor``.
            size (int): Number of images.
        """
        if not hasattr(algorithm, 'teacher') or not hasattr(algorithm, 'student'):
            raise TypeError(
                f'{self.name} compares a student with its teacher, but {type(algorithm).__name__} '
                f'has not got both: take {self.name} out of `val_evaluator` and `test_evaluator`, '
                "or use an algorithm such as model=dict(type='AMKD', ...)"
            )
        self._algorithm, self._was_given = algorithm, True
        drawn = torch.randperm(size, generator=torch.Generator().manual_seed(0))
        self._drawn = set(drawn[: self.num_samples].tolist())
        self._position, self._stride = get_dist_info()
        self._checked = False
        self.results.clear()  # An evaluation before may have failed.

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare the networks on those images of the batch that were drawn."""
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
                compared = self._compare_rows(self._algorithm, data_batch, rows)
                for row, result in zip(rows, compared, strict=True):
                    found[row] = result
        self.results.extend(found)

    def _compare_rows(self, algorithm: Pair, data_batch: dict, rows: list[int]) -> list[tuple]:
        """Compare the networks on some rows of a batch."""
        pixels, labels = read_batch(self.name, 'test_pipeline', data_batch)
        device = algorithm.data_preprocessor.device
        pixels, labels = pixels[rows].to(device), labels[rows].to(device)
        normalizer = Normalizer(algorithm.data_preprocessor)
        if not self._checked:
            normalizer.check(pixels)
            self._checked = True

        def answer(network: nn.Module, inputs: Tensor) -> Tensor:
            return predict_logits(network, normalizer.pad(inputs))

        teacher, student = algorithm.teacher, algorithm.student
        with without_checkpointing(teacher, student):
            return self.compare(
                partial(answer, teacher),
                partial(answer, student),
                normalizer.normalize(pixels),
                labels,
                normalizer.bounds,
            )

    def evaluate(self, size: int) -> dict[str, float]:
        """The metrics of this evaluation; none of that of the teacher alone."""
        if self._was_given and self._algorithm is None:
            return {}
        self._algorithm = None
        return super().evaluate(size)
