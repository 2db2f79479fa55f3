"""MLKDLoss: logits of images, of a batch and of classes, at several temperatures."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_kind, check_number
from .feature_maps import in_full


@MODELS.register_module()
class MLKDLoss(nn.Module):
    """Multi-level logit distillation (Jin et al., CVPR 2023), of one view of the images.

    At each temperature, of the probabilities p of N images and K classes, summed over temperatures:

    - instance: the Kullback-Leibler divergence of the student's from the teacher's, the mean over
      images, times the square of the temperature;
    - batch: the squared distance of both networks' ``p p^T``, (N, N), divided by N;
    - class: that of ``p^T p``, (K, K), divided by K.

    As published: with the batch size the relations of a batch grow as N, and those of classes as
    N^2. Their temperature has no factor.

    Args:
        taus (Sequence[float]): Temperatures, > 0. Defaults to those of the authors' code,
            ``(2, 3, 4, 5, 6)``.
        instance_weight (float): Factor of the divergence. Defaults to 1.0.
        batch_weight (float): Factor of the relations between images. Defaults to 1.0.
        class_weight (float): Factor of the relations between classes. Defaults to 1.0.
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        ValueError: If an argument is out of its range, or there is no temperature.
        TypeError: If an argument is of another type.
    """

    def __init__(
        self,
        taus: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0),
        instance_weight: float = 1.0,
        batch_weight: float = 1.0,
        class_weight: float = 1.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_kind('MLKDLoss: taus', taus, (list, tuple), '[2, 3, 4, 5, 6]')
        if not taus:
            raise ValueError('MLKDLoss: taus must have a temperature, such as [4]')
        for tau in taus:
            check_number('MLKDLoss: taus', tau, above=0)
        check_number('MLKDLoss: instance_weight', instance_weight, minimum=0)
        check_number('MLKDLoss: batch_weight', batch_weight, minimum=0)
        check_number('MLKDLoss: class_weight', class_weight, minimum=0)
        check_number('MLKDLoss: loss_weight', loss_weight, minimum=0)
        self.taus = tuple(taus)
        self.instance_weight = instance_weight
        self.batch_weight = batch_weight
        self.class_weight = class_weight
        self.loss_weight = loss_weight

    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            preds_S (Tensor): The student's logits, (N, K).
            preds_T (Tensor): The teacher's, (N, K); no gradient reaches them.

        Returns:
            Tensor: Scalar, at least in float32.
        """
        preds_S, preds_T = in_full(preds_S), in_full(preds_T.detach())
        # Autocast would round the products.
        with torch.autocast(preds_S.device.type, enabled=False):
            levels = [self.at(preds_S / tau, preds_T / tau, tau) for tau in self.taus]
        return self.loss_weight * torch.stack(levels).sum()

    def at(self, preds_S: Tensor, preds_T: Tensor, tau: float) -> Tensor:
        """The three levels, summed, of logits that are divided by their temperature."""
        divergence = F.kl_div(
            preds_S.log_softmax(1), preds_T.log_softmax(1), reduction='batchmean', log_target=True
        )
        student, teacher = preds_S.softmax(1), preds_T.softmax(1)
        images = (student @ student.t() - teacher @ teacher.t()).square().sum() / len(student)
        classes = student.t() @ student - teacher.t() @ teacher
        return (
            self.instance_weight * tau**2 * divergence
            + self.batch_weight * images
            + self.class_weight * classes.square().sum() / student.size(1)
        )
