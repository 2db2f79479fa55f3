"""CCDLoss: the KL divergence on augmented images, by the teacher's confidence in them."""

import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_number


@MODELS.register_module()
class CCDLoss(nn.Module):
    """Cosine confidence distillation (Li et al., ACCV 2022), for ``AugmentedSampleHook``.

    What Role Does Data Augmentation Play in Knowledge Distillation? Published: the divergence on an
    augmented image weighs the more, the nearer the teacher's logits of it are to those of the image
    itself: by one plus their cosine. Ours, as far as known: temperature and weight.

    Args:
        tau (float): Temperature, > 0. Defaults to 3.0.
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        ValueError: If the temperature is not positive.
    """

    def __init__(self, tau: float = 4.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_number('CCDLoss: tau', tau, above=0)
        check_number('CCDLoss: loss_weight', loss_weight, minimum=0)
        self.tau = tau
        self.loss_weight = loss_weight

    def forward(self, preds_S: Tensor, preds_T: Tensor, clean_preds_T: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            preds_S (Tensor): The student's logits of the augmented images, (N, K).
            preds_T (Tensor): The teacher's, (N, K); no gradient reaches them.
            clean_preds_T (Tensor): The teacher's logits of the images themselves, (N, K).

        Returns:
            Tensor: Scalar, ``loss_weight`` times the mean of ``tau^2 (1 + cos) KL``.

        Raises:
            ValueError: If not every image has a copy.
        """
        if len(preds_T) != len(clean_preds_T):
            raise ValueError(
                f'CCDLoss needs a copy of each image, but got {len(preds_T)} copies of '
                f'{len(clean_preds_T)} images: leave `num_samples` of AugmentedSampleHook at 1.0'
            )
        preds_T, clean_preds_T = preds_T.detach().float(), clean_preds_T.detach().float()
        confidence = 1 + F.cosine_similarity(preds_T, clean_preds_T)
        divergence = F.kl_div(
            (preds_S.float() / self.tau).log_softmax(1),
            (preds_T / self.tau).softmax(1),
            reduction='none',
        ).sum(1)
        return self.loss_weight * self.tau**2 * (confidence * divergence).mean()
