"""VirtualTeacherConnector: what a teacher that is always right would say of labels."""

import math

import torch
from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.registry import MODELS
from torch import Tensor

from ..config.argument_checks import check_int, check_number


@MODELS.register_module()
class VirtualTeacherConnector(BaseConnector):
    """Makes logits of labels: those of a virtual teacher, which is always right.

    Revisiting Knowledge Distillation via Label Smoothing Regularization (Yuan et al., CVPR 2020),
    whose Tf-KD_reg learns from no network. The virtual teacher gives the label the probability
    ``correct_prob`` and all other classes the same; its logits are the logarithms. With the KL
    divergence at a temperature of 20 as a loss, a student learns as there, but that the released
    code divides the probabilities by the temperature, not their logarithms. It has no parameters,
    and there is no gradient.

    Args:
        num_classes (int): Number of classes K, at least 2.
        correct_prob (float): Probability of the label, between 1 / K and 1. Defaults to 0.99, that
            of the released code.
        init_cfg (dict, optional): See ``BaseConnector``.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self, num_classes: int, correct_prob: float = 0.99, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        check_int('VirtualTeacherConnector: num_classes', num_classes, minimum=2)
        key = 'VirtualTeacherConnector: correct_prob'
        check_number(key, correct_prob, above=1 / num_classes)
        if correct_prob >= 1:
            raise ValueError(f'{key} must be below 1, not {correct_prob}')
        self.num_classes = num_classes
        self.correct_prob = correct_prob

    def forward_train(self, feature: Tensor) -> Tensor:
        """Labels, (N,) int64, to logits, (N, K) float32."""
        other = (1 - self.correct_prob) / (self.num_classes - 1)
        logits = torch.full(
            (len(feature), self.num_classes), math.log(other), device=feature.device
        )
        return logits.scatter(1, feature[:, None], math.log(self.correct_prob))
