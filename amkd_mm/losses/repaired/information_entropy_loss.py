"""InformationEntropyLoss: of classes that no image may have."""

import torch
import torch.nn.functional as F
from mmrazor.models.architectures.ops import GatherTensors
from mmrazor.models.losses.dafl_loss import InformationEntropyLoss as MMRazorInformationEntropyLoss
from mmrazor.registry import MODELS
from torch import Tensor


@MODELS.register_module(force=True)
class InformationEntropyLoss(MMRazorInformationEntropyLoss):
    """MMRazor's ``InformationEntropyLoss`` (DAFL, ICCV 2019), with the same arguments, repaired.

    MMRazor 1.0.0 is NaN once a class has the probability 0, by ``0 * log10(0)``; the generator of
    DAFL begins with images of few classes. Here such a class adds nothing.
    """

    def forward_train(self, preds_T: Tensor) -> Tensor:
        """Negative entropy of the mean probabilities, to the base of 10; logits (N, K) to ()."""
        if self.gather and self.world_size > 1:
            preds_T = torch.cat(GatherTensors.apply(preds_T), dim=0)
        probs = F.softmax(preds_T, dim=1).mean(dim=0)
        return (probs * probs.clamp_min(torch.finfo(probs.dtype).tiny).log10()).sum()
