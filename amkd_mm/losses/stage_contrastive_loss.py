"""StageContrastiveLoss: the student's and the teacher's maps of an image find each other."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_number


@MODELS.register_module()
class StageContrastiveLoss(nn.Module):
    """Contrasts student and teacher at each stage, for ``FeatureFusionConnector``.

    Multistage feature fusion knowledge distillation (Li et al., Scientific Reports 14, 2024).
    Published, as far as could be read (abstract): a contrastive loss between teacher and student
    at the same stage. Ours: it is InfoNCE (van den Oord et al., 2018) of the pooled, normalised
    maps: of the teacher's images of a batch, the student's must be most like its own.

    Args:
        tau (float): Temperature, > 0. Defaults to 0.07, as in CRD (Tian et al., ICLR 2020).
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        ValueError: If the temperature is not positive.
    """

    def __init__(self, tau: float = 0.07, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_number('StageContrastiveLoss: tau', tau, above=0)
        check_number('StageContrastiveLoss: loss_weight', loss_weight, minimum=0)
        self.tau = tau
        self.loss_weight = loss_weight

    def forward(self, s_features: Sequence[Tensor], t_features: Sequence[Tensor]) -> Tensor:
        """Loss of a batch.

        Args:
            s_features (Sequence[Tensor]): The student's map of each stage, (N, C, H, W).
            t_features (Sequence[Tensor]): The teacher's, (N, C, H', W'), of the same width.

        Returns:
            Tensor: Scalar, ``loss_weight`` times the mean over stages and images. Computed in
            float32.

        Raises:
            ValueError: If the two have different stages.
        """
        shapes = [[tuple(each.shape[:2]) for each in side] for side in (s_features, t_features)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                'StageContrastiveLoss: student and teacher need as many stages of the same width, '
                f'not {shapes[0]} and {shapes[1]}: set `out_channels` of their connectors'
            )
        losses = []
        # Autocast would round the similarities.
        with torch.autocast(s_features[0].device.type, enabled=False):
            for student, teacher in zip(s_features, t_features, strict=True):
                student, teacher = (
                    F.normalize(each.float().mean((2, 3)), dim=1) for each in (student, teacher)
                )
                similarity = student @ teacher.t() / self.tau
                own = torch.arange(len(similarity), device=similarity.device)
                losses.append(F.cross_entropy(similarity, own))
        return self.loss_weight * torch.stack(losses).mean()
