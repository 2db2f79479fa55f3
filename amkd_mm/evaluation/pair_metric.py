"""PairMetric: a metric of what student and teacher do near the boundary, not of predictions."""

from abc import abstractmethod
from functools import partial
from typing import Any

from mmengine.model import BaseModel
from torch import Tensor, nn

from ..attacks import build_attack
from ..attacks.base import Bounds, Model
from ..classifiers import predict_logits
from ..classifiers.activation_checkpointing import without_checkpointing
from ..data_preprocessors.normalizer import Normalizer
from .network_metric import NetworkMetric


class PairMetric(NetworkMetric):
    """Asks student and teacher about some of the images that are evaluated.

    Both networks are asked about images as the student gets them.

    Args:
        num_samples (int): Most images, at least 1. Defaults to 1000.
        attack (dict, optional): Config of a boundary attack in ``mmrazor.registry.TASK_UTILS``.
            Defaults to None, ``dict(type='BoundarySearch')``.
        **kwargs: ``collect_device``, ``collect_dir`` and ``prefix`` of ``BaseMetric``.

    Raises:
        KeyError: If there is no such attack.
        ValueError: As :class:`NetworkMetric`.
        TypeError: If the model has no teacher and student, or as :class:`NetworkMetric`.
    """

    def __init__(self, num_samples: int = 1000, attack: dict | None = None, **kwargs: Any) -> None:
        super().__init__(num_samples, **kwargs)
        self.attack = build_attack(attack or dict(type='BoundarySearch'))

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

    def receive_algorithm(self, algorithm: BaseModel, size: int) -> None:
        """Begin an evaluation.

        Args:
            algorithm (BaseModel): Has a ``teacher``, a ``student`` and a ``data_preprocessor``.
            size (int): Number of images.
        """
        if not hasattr(algorithm, 'teacher') or not hasattr(algorithm, 'student'):
            raise TypeError(
                f'{self.name} compares a student with its teacher, but {type(algorithm).__name__} '
                f'has not got both: take {self.name} out of `val_evaluator` and `test_evaluator`, '
                "or use an algorithm such as model=dict(type='AMKD', ...)"
            )
        super().receive_algorithm(algorithm, size)

    def measure(
        self, algorithm: BaseModel, inputs: Tensor, labels: Tensor, normalizer: Normalizer
    ) -> list[tuple]:
        """See :class:`NetworkMetric`."""

        def answer(network: nn.Module, inputs: Tensor) -> Tensor:
            return predict_logits(network, normalizer.pad(inputs))

        teacher, student = algorithm.teacher, algorithm.student
        with without_checkpointing(teacher, student):
            return self.compare(
                partial(answer, teacher),
                partial(answer, student),
                inputs,
                labels,
                normalizer.bounds,
            )
