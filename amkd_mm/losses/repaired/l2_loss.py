"""L2Loss: of features that may be zero."""

from mmrazor.models.losses.l2_loss import L2Loss as MMRazorL2Loss
from mmrazor.registry import MODELS
from torch import Tensor

from .unit_vectors import unit_vectors


@MODELS.register_module(force=True)
class L2Loss(MMRazorL2Loss):
    """MMRazor's ``L2Loss``, with the same arguments, repaired.

    MMRazor 1.0.0 divides features by their norm: a feature map of zeros makes the loss NaN, and
    then all weights. Here zeros stay zeros.
    """

    def normalize_feature(self, feature: Tensor) -> Tensor:
        """Features (N, ...) as rows, (N, D), of length ``mult``."""
        return unit_vectors(feature.flatten(1)) * self.mult
