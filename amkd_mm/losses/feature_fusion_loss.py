"""FeatureFusionLoss: a classifier of the maps of two networks, which teaches both."""

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_int, check_number
from .feature_maps import check_map, check_same_batch, in_full, pool_to_smaller


@MODELS.register_module()
class FeatureFusionLoss(nn.Module):
    """Lets two networks learn from a classifier of what both see, for ``configs/ffcl``.

    Feature fusion-based collaborative learning for knowledge distillation (Li et al., International
    Journal of Distributed Sensor Networks 17(11), 2021). Published, as far as could be read
    (abstract): untrained networks learn from each other by features and responses, and what the two
    have of an image is concatenated to a more representative map, from which knowledge is
    transferred. Ours is how: the larger map is averaged to the size of the smaller, the two are
    concatenated and go through a 1x1 convolution to the wider one's channels, batch norm, ReLU, the
    mean over places and a linear layer. This classifier learns the labels, by a gradient that
    reaches both networks' maps, and both networks learn its answers by the KL divergence, whose
    gradient reaches their logits alone. The classifier is trained with the networks, and dropped in
    the end.

    Args:
        student_channels (int): Channels of the student's map.
        teacher_channels (int): Channels of the teacher's.
        num_classes (int): Number of classes K.
        tau (float): Temperature of the divergences, > 0. Defaults to 3.0, that of feature fusion
            learning (Kim et al., ICPR 2020).
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        num_classes: int,
        tau: float = 3.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_int('FeatureFusionLoss: student_channels', student_channels, minimum=1)
        check_int('FeatureFusionLoss: teacher_channels', teacher_channels, minimum=1)
        check_int('FeatureFusionLoss: num_classes', num_classes, minimum=2)
        check_number('FeatureFusionLoss: tau', tau, above=0)
        check_number('FeatureFusionLoss: loss_weight', loss_weight, minimum=0)
        self.student_channels = student_channels
        self.teacher_channels = teacher_channels
        self.num_classes = num_classes
        self.tau = tau
        self.loss_weight = loss_weight
        width = max(student_channels, teacher_channels)
        self.fusion = nn.Sequential(
            nn.Conv2d(student_channels + teacher_channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(width, num_classes)

    def forward(
        self,
        s_feature: Tensor,
        t_feature: Tensor,
        preds_S: Tensor,
        preds_T: Tensor,
        gt_labels: Tensor,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            s_feature (Tensor): The student's map, (N, ``student_channels``, H, W).
            t_feature (Tensor): The teacher's, (N, ``teacher_channels``, H', W').
            preds_S (Tensor): The student's logits, (N, K).
            preds_T (Tensor): The teacher's, (N, K).
            gt_labels (Tensor): Labels, (N,) int64.

        Returns:
            Tensor: Scalar, at least in float32: ``loss_weight`` times the sum of the classifier's
            cross entropy and of ``tau^2`` times the two divergences.

        Raises:
            ValueError: If a map has other channels, the maps are not of as many images, or the
                logits not of ``num_classes``.
        """
        check_map('FeatureFusionLoss: student_channels', s_feature, self.student_channels)
        check_map('FeatureFusionLoss: teacher_channels', t_feature, self.teacher_channels)
        check_same_batch('FeatureFusionLoss', s_feature, t_feature)
        if preds_S.size(1) != self.num_classes:
            raise ValueError(
                f'FeatureFusionLoss: num_classes must be {preds_S.size(1)}, as the networks have, '
                f'not {self.num_classes}'
            )
        maps = torch.cat(pool_to_smaller(s_feature, t_feature), 1)
        fused = in_full(self.classifier(self.fusion(maps).mean((2, 3))))
        soft = (fused.detach() / self.tau).softmax(1)
        divergences = [
            F.kl_div((in_full(preds) / self.tau).log_softmax(1), soft, reduction='batchmean')
            for preds in (preds_S, preds_T)
        ]
        return self.loss_weight * (
            F.cross_entropy(fused, gt_labels) + self.tau**2 * (divergences[0] + divergences[1])
        )
