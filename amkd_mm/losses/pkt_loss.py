"""PKTLoss: how likely images of a batch are neighbours, to the teacher as to the student."""

import torch
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_number
from .feature_maps import check_same_batch, in_full
from .repaired.unit_vectors import unit_vectors


@MODELS.register_module()
class PKTLoss(nn.Module):
    """Probabilistic knowledge transfer (Passalis and Tefas, ECCV 2018).

    With the cosine kernel, which needs no bandwidth: ``(cos(a, b) + 1) / 2`` of
    the embeddings, divided by their sum over the batch, is the probability that one image chooses
    the other as its neighbour; the loss is the Kullback-Leibler divergence of the student's
    probabilities from the teacher's. As in the authors' code an image is a neighbour of itself,
    too, ``eps`` is added within the logarithm, and the divergence is a mean over the N^2 pairs
    instead of a sum, so that it falls with the batch size as 1 / N. Widths may differ. An
    embedding of zeros has the cosine 0 to all.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 30000.0, as CRD's benchmark (Tian et
            al., ICLR 2020) and mdistiller have it.
        eps (float): Added to the probabilities within the logarithm, > 0. Defaults to 1e-7.

    Raises:
        ValueError: If the weight is negative, or ``eps`` is not positive.
    """

    def __init__(self, loss_weight: float = 30000.0, eps: float = 1e-7) -> None:
        super().__init__()
        check_number('PKTLoss: loss_weight', loss_weight, minimum=0)
        check_number('PKTLoss: eps', eps, above=0)
        self.loss_weight = loss_weight
        self.eps = eps

    def forward(self, s_feature: Tensor, t_feature: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            s_feature (Tensor): The student's embeddings, (N, ...).
            t_feature (Tensor): The teacher's, (N, ...); no gradient reaches them.

        Returns:
            Tensor: Scalar, at least in float32.

        Raises:
            ValueError: If the two are of different batches.
        """
        check_same_batch('PKTLoss', s_feature, t_feature)
        # Autocast would round the cosines.
        with torch.autocast(s_feature.device.type, enabled=False):
            student, teacher = neighbours(s_feature), neighbours(t_feature.detach())
            ratio = (teacher + self.eps) / (student + self.eps)
            return self.loss_weight * (teacher * ratio.log()).mean()


def neighbours(feature: Tensor) -> Tensor:
    """Probabilities, (N, N), that each of a batch's images, (N, ...), chooses another."""
    vectors = unit_vectors(in_full(feature).flatten(1))
    kernel = (vectors @ vectors.t() + 1) / 2
    # Rounding may leave a cosine just below -1.
    kernel = kernel.clamp_min(0)
    return kernel / kernel.sum(1, keepdim=True)
