"""HardLabelConnector: the class that a network decides for."""

from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class HardLabelConnector(BaseConnector):
    """Makes labels of logits: the class of the highest score.

    For hard distillation, as of DeiT (Touvron et al., ICML 2021), where a cross entropy reads the
    teacher's decisions in place of labels. It has no parameters, and there is no gradient.
    """

    def forward_train(self, feature: Tensor) -> Tensor:
        """Logits, (N, K), to classes, (N,) int64."""
        return feature.argmax(1)
