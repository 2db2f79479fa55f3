"""NSTLoss: where in the image channels are active, to the teacher as to the student."""

import torch
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_number
from .feature_maps import check_map, in_full, pool_to_smaller
from .repaired.unit_vectors import unit_vectors


@MODELS.register_module()
class NSTLoss(nn.Module):
    """Neuron selectivity transfer (Huang and Wang, 2017), with the polynomial kernel.

    Like What You Like: Knowledge Distill via Neuron Selectivity Transfer. Each channel of a map is
    a sample, its activations over the image scaled to length 1, and the loss is the
    squared maximum mean discrepancy of teacher's and student's channels by the kernel
    ``(x . y)^2``, the mean over the images of a batch. Widths may differ, and the larger of two
    maps is averaged to the size of the smaller, as in CRD's benchmark (Tian et al., ICLR 2020). A
    channel without activity has no direction.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 50.0, as in CRD's benchmark and
            mdistiller.

    Raises:
        ValueError: If the weight is negative.
    """

    def __init__(self, loss_weight: float = 50.0) -> None:
        super().__init__()
        check_number('NSTLoss: loss_weight', loss_weight, minimum=0)
        self.loss_weight = loss_weight

    def forward(self, s_feature: Tensor, t_feature: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            s_feature (Tensor): The student's map, (N, C, H, W).
            t_feature (Tensor): The teacher's, (N, C', H', W'); no gradient reaches it.

        Returns:
            Tensor: Scalar, at least in float32.

        Raises:
            ValueError: If one is not a map.
        """
        check_map('NSTLoss: s_feature', s_feature)
        check_map('NSTLoss: t_feature', t_feature)
        # Autocast would round the inner products.
        with torch.autocast(s_feature.device.type, enabled=False):
            maps = pool_to_smaller(in_full(s_feature), in_full(t_feature.detach()))
            student, teacher = (unit_vectors(each.flatten(2), dim=2) for each in maps)
            discrepancy = (
                kernel(teacher, teacher) + kernel(student, student) - 2 * kernel(student, teacher)
            )
            return self.loss_weight * discrepancy


def kernel(first: Tensor, second: Tensor) -> Tensor:
    """Mean of the squared inner products of channels, (N, C, D) and (N, C', D), a scalar."""
    return torch.bmm(first, second.transpose(1, 2)).square().mean()
