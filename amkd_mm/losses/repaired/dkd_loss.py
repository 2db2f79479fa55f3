"""DKDLoss: decoupled knowledge distillation, reduced as it is told."""

import math

import torch
import torch.nn.functional as F
from mmrazor.models.losses.decoupled_kd import DKDLoss as MMRazorDKDLoss
from mmrazor.registry import MODELS
from torch import Tensor


@MODELS.register_module(force=True)
class DKDLoss(MMRazorDKDLoss):
    """MMRazor's ``DKDLoss`` (Zhao et al., CVPR 2022), with the same arguments, repaired.

    MMRazor 1.0.0 passes ``size_average=False`` to PyTorch, which is deprecated and means a sum in
    spite of ``reduction``, so that the loss grows with the batch. It also takes the logarithm of
    probabilities that may be 0, which makes it NaN. Here ``reduction`` counts, and the
    probabilities of label and other classes are logarithms throughout.
    """

    def _kl_loss(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Divergence of ``preds_T``, probabilities, from ``preds_S``, their logarithms."""
        return self.tau**2 * F.kl_div(preds_S, preds_T, reduction=self.reduction)

    def _get_tckd_loss(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Tensor, gt_mask: Tensor
    ) -> Tensor:
        """Divergence of two probabilities: that of the label, and that of all other classes."""
        student, teacher = (
            target_log_probabilities(preds / self.tau, gt_mask) for preds in (preds_S, preds_T)
        )
        return self._kl_loss(student, teacher.exp())


def target_log_probabilities(logits: Tensor, gt_mask: Tensor) -> Tensor:
    """Logarithms, (N, 2), of the probabilities of the label and of all other classes."""
    log_probs = F.log_softmax(logits, dim=1)
    others = log_probs.masked_fill(gt_mask, -math.inf).logsumexp(1, keepdim=True)
    return torch.cat([log_probs[gt_mask].unsqueeze(1), others], dim=1)
