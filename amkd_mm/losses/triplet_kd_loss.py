"""TripletKDLoss: the triplet loss for knowledge distillation on logits."""

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_number


def triplet_kd_loss(
    preds_S: Tensor, preds_T: Tensor, negatives: Tensor, margin: float = 5.0
) -> Tensor:
    """Hinge ``max(0, |t_i - s_i| - |t_i - s_j| + margin)`` of each row, (M,).

    Args:
        preds_S (Tensor): Logits of the student, (N, K).
        preds_T (Tensor): Logits of the teacher, the anchors, (N, K).
        negatives (Tensor): Which row j is the negative of row i, (N,) int64.
        margin (float): In units of the logits.
    """
    to_positive = torch.linalg.vector_norm(preds_T - preds_S, dim=1)
    to_negative = torch.linalg.vector_norm(preds_T - preds_S[negatives], dim=1)
    return F.relu(to_positive - to_negative + margin)


@MODELS.register_module()
class TripletKDLoss(nn.Module):
    """Triplet Loss for Knowledge Distillation (Oki et al., IJCNN 2020, arXiv 2004.08116).

    The anchor is the teacher's logits of an image, the positive the student's of the same image,
    the negative the student's of a random image of another class. Published: Euclidean distance,
    margin 5 and weight 2, beside cross entropy and the KL divergence of temperature 1. The
    negatives are drawn from the batch.

    Args:
        margin (float): How much farther the negative must be, >= 0. Defaults to 5.0.
        loss_weight (float): Factor of the loss. Defaults to 2.0.

    Raises:
        ValueError: If the margin is negative.
    """

    def __init__(self, margin: float = 5.0, loss_weight: float = 2.0) -> None:
        super().__init__()
        check_number('TripletKDLoss: margin', margin, minimum=0)
        check_number('TripletKDLoss: loss_weight', loss_weight, minimum=0)
        self.margin = margin
        self.loss_weight = loss_weight

    def forward(self, preds_S: Tensor, preds_T: Tensor, gt_labels: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            preds_S (Tensor): Logits of the student, (N, K).
            preds_T (Tensor): Logits of the teacher, (N, K); no gradient reaches them.
            gt_labels (Tensor): Labels, (N,), integers.

        Returns:
            Tensor: Scalar, ``loss_weight`` times the mean over the images that have one of another
            class in the batch; 0, attached to the graph, if there are none. In float32.
        """
        if not len(gt_labels):
            return preds_S.sum() * 0
        others = gt_labels[:, None] != gt_labels[None]
        valid = others.any(1)
        hinges = triplet_kd_loss(
            preds_S.float(), preds_T.detach().float(), draw_of_each(others), self.margin
        )
        # A row without others drew any, and is left out: not by reading the mask on the host, which
        # would wait for the device.
        kept = torch.where(valid, hinges, torch.zeros_like(hinges))
        return self.loss_weight * kept.sum() / valid.sum().clamp_min(1)


def draw_of_each(candidates: Tensor) -> Tensor:
    """One candidate of each row at random, (N, M) bool to (N,) int64; any where there is none.

    As :func:`torch.multinomial` draws, and from the same seed the same, but without its checks,
    which synchronise host and device.
    """
    weights = candidates.float()
    return (weights / torch.empty_like(weights).exponential_()).argmax(1)
