"""CTKDLoss: the KL divergence at a temperature that learns to make it hard."""

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_number
from .feature_maps import in_full


@MODELS.register_module()
class CTKDLoss(nn.Module):
    """Curriculum temperature for knowledge distillation (Li et al., AAAI 2023), global version.

    The temperature is ``tau_init + tau_range * sigmoid(theta)`` with one trained number, theta,
    which begins at 1. Its gradient is reversed, times ``reversal``: while the student makes the
    loss smaller, the temperature makes it larger. The published curriculum lets ``reversal`` rise
    along half a cosine from 0 to 1, as ``LossWeightScheduleHook(attribute='reversal')`` does. The
    loss is the Kullback-Leibler divergence of the student's probabilities from the teacher's, the
    mean over images, times the square of the temperature, whose gradient counts, too.

    Args:
        tau_init (float): The smallest temperature, > 0. Defaults to 1.0.
        tau_range (float): How far the temperature may rise above it, >= 0. Defaults to 20.0.
        reversal (float): Factor of the reversed gradient, >= 0. Defaults to 1.0.
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        tau_init: float = 1.0,
        tau_range: float = 20.0,
        reversal: float = 1.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_number('CTKDLoss: tau_init', tau_init, above=0)
        check_number('CTKDLoss: tau_range', tau_range, minimum=0)
        check_number('CTKDLoss: reversal', reversal, minimum=0)
        check_number('CTKDLoss: loss_weight', loss_weight, minimum=0)
        self.tau_init = tau_init
        self.tau_range = tau_range
        self.reversal = reversal
        self.loss_weight = loss_weight
        self.theta = nn.Parameter(torch.ones(1))

    @property
    def tau(self) -> Tensor:
        """The temperature, (1,), with a reversed gradient for theta."""
        theta = in_full(self.theta)
        fixed = theta.detach()
        # The same number, and minus its gradient.
        theta = fixed - self.reversal * (theta - fixed)
        return self.tau_init + self.tau_range * theta.sigmoid()

    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            preds_S (Tensor): The student's logits, (N, K).
            preds_T (Tensor): The teacher's, (N, K); no gradient reaches them.

        Returns:
            Tensor: Scalar, at least in float32.
        """
        tau = self.tau
        student, teacher = (
            (in_full(preds) / tau).log_softmax(1) for preds in (preds_S, preds_T.detach())
        )
        # Logarithms of both, because the temperature has a gradient by the teacher's as well.
        divergence = F.kl_div(student, teacher, reduction='batchmean', log_target=True)
        return self.loss_weight * (tau.square() * divergence).squeeze()
