"""KLDivergence: with a gradient for teachers that are not sure to the last digit."""

import torch.nn.functional as F
from mmrazor.models.losses.kl_divergence import KLDivergence as MMRazorKLDivergence
from mmrazor.registry import MODELS
from torch import Tensor


@MODELS.register_module(force=True)
class KLDivergence(MMRazorKLDivergence):
    """MMRazor's ``KLDivergence``, with the same arguments, repaired.

    MMRazor 1.0.0: with ``teacher_detach=False`` the gradient has the logarithm of the teacher's
    probability, of which one may be 0, so that a generator of ZSKT becomes NaN after some hundred
    steps, its losses being finite. Here logarithms are given to PyTorch.
    """

    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Divergence of the teacher's logits from the student's, (N, K) both, times ``tau**2``."""
        if self.teacher_detach:
            return super().forward(preds_S, preds_T)
        student, teacher = (F.log_softmax(preds / self.tau, dim=1) for preds in (preds_S, preds_T))
        loss = F.kl_div(student, teacher, reduction=self.reduction, log_target=True)
        return self.loss_weight * self.tau**2 * loss
