"""LogitStandardizationConnector: logits as z-scores."""

from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.registry import MODELS
from torch import Tensor


def standardize_logits(logits: Tensor, eps: float = 1e-7) -> Tensor:
    """Z-scores over the classes: (N, K) to (N, K), each row of mean 0 and standard deviation 1.

    Rows of equal logits, as a head of zeros gives them, become zeros.
    """
    variance = logits.var(1, keepdim=True)
    # The gradient of a standard deviation of 0 would not be a number.
    std = variance.masked_fill(variance == 0, 1).sqrt()
    return (logits - logits.mean(1, keepdim=True)) / (std + eps)


@MODELS.register_module()
class LogitStandardizationConnector(BaseConnector):
    """Standardises the logits of each sample, before a loss compares them.

    Logit Standardization in Knowledge Distillation (Sun et al., CVPR 2024): the student need not
    match the teacher's range and variance of logits, only their relations. The published z-score
    has the sample standard deviation and 1e-7 beside it, and then a temperature of 2 and a weight
    of 9 with the KL divergence.

    As a connector it goes with any loss of logits: name it for both sides in
    ``loss_forward_mappings``. Its class has no parameters.
    """

    def forward_train(self, feature: Tensor) -> Tensor:
        """Z-scores of logits, (N, K) to (N, K)."""
        return standardize_logits(feature)
