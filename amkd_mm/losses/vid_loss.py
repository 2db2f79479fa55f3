"""VIDLoss: how well the student's map foretells the teacher's."""

import math

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_int, check_number
from .feature_maps import check_map, in_full, pool_to_smaller


@MODELS.register_module()
class VIDLoss(nn.Module):
    """Variational information distillation (Ahn et al., CVPR 2019), for one pair of maps.

    The teacher's map is Gaussian given the student's, with a mean that is regressed from the
    student's map and a variance for each channel of the teacher, ``softplus(alpha) + eps``. The
    loss is its negative log-likelihood without the constant, the mean over images, channels and
    places, and may be negative. Regressor and ``alpha`` are trained with the student. As in the
    authors' code, CRD's benchmark (Tian et al., ICLR 2020) and mdistiller, the regressor has three
    1x1 convolutions without bias, all of the teacher's width, with ReLU between, and the larger of
    two maps is averaged to the size of the smaller. mdistiller does not train ``alpha``.

    Args:
        student_channels (int): Channels of the student's map.
        teacher_channels (int): Channels of the teacher's.
        init_variance (float): The variance in the beginning, > ``eps``. Defaults to 5.0.
        eps (float): The smallest variance, > 0. Defaults to 1e-5.
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        init_variance: float = 5.0,
        eps: float = 1e-5,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_int('VIDLoss: student_channels', student_channels, minimum=1)
        check_int('VIDLoss: teacher_channels', teacher_channels, minimum=1)
        check_number('VIDLoss: eps', eps, above=0)
        check_number('VIDLoss: init_variance', init_variance, above=eps)
        check_number('VIDLoss: loss_weight', loss_weight, minimum=0)
        self.student_channels = student_channels
        self.teacher_channels = teacher_channels
        self.eps = eps
        self.loss_weight = loss_weight
        self.regressor = nn.Sequential(
            nn.Conv2d(student_channels, teacher_channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(teacher_channels, teacher_channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(teacher_channels, teacher_channels, 1, bias=False),
        )
        alpha = math.log(math.expm1(init_variance - eps))
        self.alpha = nn.Parameter(torch.full((teacher_channels,), alpha))

    def forward(self, s_feature: Tensor, t_feature: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            s_feature (Tensor): The student's map, (N, ``student_channels``, H, W).
            t_feature (Tensor): The teacher's, (N, ``teacher_channels``, H', W'); no gradient
                reaches it.

        Returns:
            Tensor: Scalar, at least in float32.

        Raises:
            ValueError: If a map has other channels.
        """
        check_map('VIDLoss: student_channels', s_feature, self.student_channels)
        check_map('VIDLoss: teacher_channels', t_feature, self.teacher_channels)
        student, teacher = pool_to_smaller(s_feature, t_feature.detach())
        mean = self.regressor(student)
        with torch.autocast(mean.device.type, enabled=False):
            variance = (F.softplus(in_full(self.alpha)) + self.eps).view(1, -1, 1, 1)
            squared = (in_full(mean) - in_full(teacher)).square()
            return self.loss_weight * (squared / variance + variance.log()).mean() / 2
