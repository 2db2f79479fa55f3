"""DistanceWiseRKD and AngleWiseRKD: of embeddings that may be equal."""

import torch
import torch.nn.functional as F
from mmrazor.models.losses.relational_kd import AngleWiseRKD as MMRazorAngleWiseRKD
from mmrazor.models.losses.relational_kd import DistanceWiseRKD as MMRazorDistanceWiseRKD
from mmrazor.models.losses.relational_kd import euclidean_distance
from mmrazor.registry import MODELS
from torch import Tensor

from .unit_vectors import unit_vectors


@MODELS.register_module(force=True)
class DistanceWiseRKD(MMRazorDistanceWiseRKD):
    """MMRazor's ``DistanceWiseRKD`` (Park et al., CVPR 2019), with the same arguments, repaired.

    MMRazor 1.0.0 divides by the mean of the distances that are not 0, and is NaN where there are
    none, as in a batch of one. Here such distances stay 0.
    """

    def distance_loss(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Huber loss between the distances of each side, relative to their mean."""
        return F.smooth_l1_loss(relative_distances(preds_S), relative_distances(preds_T))


@MODELS.register_module(force=True)
class AngleWiseRKD(MMRazorAngleWiseRKD):
    """MMRazor's ``AngleWiseRKD`` (Park et al., CVPR 2019), with the same arguments, repaired.

    MMRazor 1.0.0 normalises the difference of two embeddings that coincide by 1e-12, and has
    gradients of 1e12. Here such a difference has no direction.
    """

    def angle_loss(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Huber loss between the cosines of each side."""
        return F.smooth_l1_loss(cosines(preds_S), cosines(preds_T))


def relative_distances(embeddings: Tensor) -> Tensor:
    """Distances between embeddings (N, D), divided by the mean of those above 0, (N, N)."""
    distances = euclidean_distance(embeddings)
    positive = distances[distances > 0]
    return distances / positive.mean() if len(positive) else distances


def cosines(embeddings: Tensor) -> Tensor:
    """Cosines, (N * N * N,), of the angles at each embedding (N, D) between two others."""
    vectors = unit_vectors(embeddings.unsqueeze(0) - embeddings.unsqueeze(1), dim=2)
    return torch.bmm(vectors, vectors.transpose(1, 2)).flatten()
