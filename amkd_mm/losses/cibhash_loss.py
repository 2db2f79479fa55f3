"""CIBHashLoss: what a hashing network learns from images without labels."""

import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_number
from .code_contrast import contrast


@MODELS.register_module()
class CIBHashLoss(nn.Module):
    """Loss of CIBHash (Qiu et al., IJCAI 2021, arXiv 2105.06138), for :class:`HashHead`.

    Unsupervised Hashing with Contrastive Information Bottleneck. Published: the contrast of two
    views of each image by the cosine of their codes (NT-Xent), and a small weight on the symmetric
    KL divergence between the two views' bits, each a Bernoulli variable. Temperature and weight are
    those of BRCD's authors. Their divergence is computed from clamped logarithms, here from
    logits.

    Args:
        temperature (float): Of the contrast, > 0. Defaults to 0.3.
        kl_weight (float): Of the divergence. Defaults to 0.001.
        loss_weight (float): Factor of both. Defaults to 1.0.

    Raises:
        ValueError: If the temperature is not positive or a weight is negative.
    """

    def __init__(
        self, temperature: float = 0.3, kl_weight: float = 0.001, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        check_number('CIBHashLoss: temperature', temperature, above=0)
        check_number('CIBHashLoss: kl_weight', kl_weight, minimum=0)
        check_number('CIBHashLoss: loss_weight', loss_weight, minimum=0)
        self.temperature = temperature
        self.kl_weight = kl_weight
        self.loss_weight = loss_weight

    def forward(self, codes: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            codes (Tensor): Codes of -1 and 1, (2 N, B): of the first view of all N images, then of
                the second.
            logits (Tensor): Logits of the bits, (2 N, B), in the same order.

        Returns:
            dict[str, Tensor]: ``loss_contrast`` and ``loss_kl``, scalars, weighted.
        """
        divergence = bit_divergence(*logits.float().chunk(2))
        return dict(
            loss_contrast=self.loss_weight * contrast(codes, self.temperature),
            loss_kl=self.loss_weight * self.kl_weight * divergence,
        )


def bit_divergence(first: Tensor, second: Tensor) -> Tensor:
    """Mean of both KL divergences between bits, given their logits (N, B), summed over the bits.

    No gradient reaches the second distribution of each.
    """
    return (one_sided(first, second.detach()) + one_sided(second, first.detach())) / 2


def one_sided(logits: Tensor, others: Tensor) -> Tensor:
    """KL divergence of bits from others."""
    one = logits.sigmoid() * (F.logsigmoid(logits) - F.logsigmoid(others))
    zero = (-logits).sigmoid() * (F.logsigmoid(-logits) - F.logsigmoid(-others))
    return (one + zero).sum(1).mean()
