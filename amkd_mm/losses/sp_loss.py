"""SPLoss: which images of a batch are similar, to the teacher as to the student."""

import torch
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_number
from .feature_maps import check_same_batch, in_full
from .repaired.unit_vectors import unit_vectors


@MODELS.register_module()
class SPLoss(nn.Module):
    """Similarity-preserving knowledge distillation (Tung and Mori, ICCV 2019).

    The features of the N images of a batch, as rows, give the matrix of their inner products, whose
    rows are scaled to length 1; the loss is the squared Frobenius distance of student's and
    teacher's, divided by N^2. Features may be of any shape, another one in student
    and teacher. Rows of length 1 make it a sum of N terms, so that it falls with the batch size as
    1 / N, as published; an image whose features are all zero is similar to none.

    Args:
        loss_weight (float): Factor of the loss, published: 3000. Defaults to 3000.0.

    Raises:
        ValueError: If the weight is negative.
    """

    def __init__(self, loss_weight: float = 3000.0) -> None:
        super().__init__()
        check_number('SPLoss: loss_weight', loss_weight, minimum=0)
        self.loss_weight = loss_weight

    def forward(self, s_feature: Tensor, t_feature: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            s_feature (Tensor): The student's features, (N, ...).
            t_feature (Tensor): The teacher's, (N, ...); no gradient reaches them.

        Returns:
            Tensor: Scalar, at least in float32.

        Raises:
            ValueError: If the two are of different batches.
        """
        check_same_batch('SPLoss', s_feature, t_feature)
        # Autocast would round the inner products.
        with torch.autocast(s_feature.device.type, enabled=False):
            difference = similarities(s_feature) - similarities(t_feature.detach())
            return self.loss_weight * difference.square().mean()


def similarities(feature: Tensor) -> Tensor:
    """Inner products of a batch's features (N, ...), each row of length 1, (N, N)."""
    rows = in_full(feature).flatten(1)
    return unit_vectors(rows @ rows.t())
