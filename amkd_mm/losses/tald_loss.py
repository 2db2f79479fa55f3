"""TALDLoss: the student's loss on adversarial samples matches the teacher's."""

import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_number


@MODELS.register_module()
class TALDLoss(nn.Module):
    """Regularisation of TALD (Nguyen-Duc et al., WACV 2023), for ``LocalDistributionHook``.

    Published: the student is regularised by matching its loss to the teacher's on samples of the
    teacher's adversarial local distribution, with a weight from 0.01 to 0.1. Ours: the loss is
    cross entropy, and the distance the squared difference.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 0.1.
    """

    def __init__(self, loss_weight: float = 0.1) -> None:
        super().__init__()
        check_number('TALDLoss: loss_weight', loss_weight, minimum=0)
        self.loss_weight = loss_weight

    def forward(self, preds_S: Tensor, preds_T: Tensor, gt_labels: Tensor) -> Tensor:
        """Loss of the particles.

        Args:
            preds_S (Tensor): Logits of the student, (N, K).
            preds_T (Tensor): Logits of the teacher, (N, K); no gradient reaches them.
            gt_labels (Tensor): Labels, (N,), integers.

        Returns:
            Tensor: Scalar, ``loss_weight`` times the mean over the particles.
        """
        losses = [
            F.cross_entropy(preds, gt_labels, reduction='none')
            for preds in (preds_S.float(), preds_T.detach().float())
        ]
        return self.loss_weight * (losses[0] - losses[1]).square().mean()
