"""L2Loss: of features that may be zero."""

from mmrazor.models.losses.l2_loss import L2Loss as MMRazorL2Loss
from mmrazor.registry import MODELS
from torch import Tensor

from .unit_vectors import unit_vectors


@MODELS.register_module(force=True)
class L2Loss(MMRazorL2Loss):
    """MMRazor's ``L2Loss``, with the same arguments, repaired.

    MMRazor 1.0.0 divides features by their norm: a feature map of zeros makes the loss NaN, and
    then all weights. Here zeros stay zeros. It also compares each place of a map with the only
    place of another without a word, where features are not normalised: here that is an error.
    """

    def forward(self, s_feature: Tensor, t_feature: Tensor) -> Tensor:
        """Squared distance of features, (N, ...) both, of as many values each.

        Raises:
            ValueError: If they have not, and are not normalised.
        """
        if not self.normalize and s_feature.numel() != t_feature.numel():
            raise ValueError(
                f'L2Loss: s_feature is {tuple(s_feature.shape)} and t_feature '
                f"{tuple(t_feature.shape)}: bring one to the other's size and width by "
                "dict(type='FeatureAlignConnector', ...)"
            )
        return super().forward(s_feature, t_feature)

    def normalize_feature(self, feature: Tensor) -> Tensor:
        """Features (N, ...) as rows, (N, D), of length ``mult``."""
        return unit_vectors(feature.flatten(1)) * self.mult
