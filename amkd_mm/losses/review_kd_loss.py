"""ReviewKDLoss: maps of all stages, at several scales."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_number
from .feature_maps import as_map, in_full


@MODELS.register_module()
class ReviewKDLoss(nn.Module):
    """Hierarchical context loss of knowledge review (Chen et al., CVPR 2021).

    Distilling Knowledge via Knowledge Review. At each stage the mean squared difference of the
    student's and the teacher's maps, and of the same maps averaged to 4, 2 and 1 places an edge,
    as far as these are fewer than there are; the weight halves from each to the next, and the sum
    is divided by that of the weights, as in the authors' code. The stages are summed. The student's
    maps are those of ``ReviewKDConnector``.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        ValueError: If the weight is negative.
    """

    levels = (4, 2, 1)

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_number('ReviewKDLoss: loss_weight', loss_weight, minimum=0)
        self.loss_weight = loss_weight

    def forward(self, s_features: Sequence[Tensor], t_features: Sequence[Tensor]) -> Tensor:
        """Loss of a batch.

        Args:
            s_features (Sequence[Tensor]): The student's map of each stage, (N, C, H, W).
            t_features (Sequence[Tensor]): The teacher's, of the same shapes; an embedding, (N, C),
                is a map of one place. No gradient reaches them.

        Returns:
            Tensor: Scalar, at least in float32.

        Raises:
            ValueError: If the shapes differ.
        """
        students = [in_full(as_map(each)) for each in s_features]
        teachers = [in_full(as_map(each.detach())) for each in t_features]
        shapes = [[tuple(each.shape[1:]) for each in side] for side in (students, teachers)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f'ReviewKDLoss: the maps of the student, (C, H, W), are {shapes[0]} and those of '
                f'the teacher {shapes[1]}: set `out_channels` and `out_sizes` of ReviewKDConnector'
            )
        stages = [self.of_stage(*pair) for pair in zip(students, teachers, strict=True)]
        return self.loss_weight * torch.stack(stages).sum()

    def of_stage(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Loss of the maps of one stage, (N, C, H, W) both."""
        loss, weight, total = F.mse_loss(student, teacher), 1.0, 1.0
        for level in self.levels:
            if level < student.size(2):
                weight /= 2
                total += weight
                small, target = (F.adaptive_avg_pool2d(each, level) for each in (student, teacher))
                loss = loss + weight * F.mse_loss(small, target)
        return loss / total
