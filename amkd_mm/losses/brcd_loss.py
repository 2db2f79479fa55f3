"""BRCDLoss: the student's codes among those of a hashing teacher."""

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_number
from .code_clusters import CodeClusters
from .code_contrast import contrast


@MODELS.register_module()
class BRCDLoss(nn.Module):
    """Bit-mask robust contrastive distillation of binary codes (He et al., WWW 2024).

    Bit-mask Robust Contrastive Knowledge Distillation for Unsupervised Semantic Hashing, arXiv
    2403.06071. Every image has two views; s are the student's codes of the first, t and u the
    teacher's of the first and second. As in the authors' code:

    - Each s has to be found from u among all other s and u of the batch, and each u from s (the
      contrast of NT-Xent, by cosines).
    - What pulls them together is ``alpha cos(s, t) + (1 - alpha) cos(s, u)``.
    - An image's cluster is that of the teacher's code of the image without augmentation
      (:class:`CodeClusters`). Where u belongs to another, the view shows something else, and
      ``cos(s, t)`` alone pulls.
    - What is of the same cluster as an image does not push it away.
    - In all but ``cos(s, t)``, s and u have only the bits that the mask of the image's cluster
      keeps.

    ``CodeClusterHook`` finds the clusters before the training.

    Args:
        temperature (float): Of the contrast, > 0. Defaults to 0.3.
        alpha (float): Weight of the first view, in [0, 1]. Defaults to 0.8.
        num_clusters (int, optional): Number of clusters. None has no clusters, so that all images
            push each other away, all second views count and all bits are kept: contrastive
            distillation without what is robust in it. Defaults to 10.
        margin (float): Smallest absolute mean of a bit over a cluster that is kept, in [0, 1]; 0
            keeps all. Defaults to 0.5.
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If one is out of its range.
    """

    def __init__(
        self,
        temperature: float = 0.3,
        alpha: float = 0.8,
        num_clusters: int | None = 10,
        margin: float = 0.5,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_number('BRCDLoss: temperature', temperature, above=0)
        check_number('BRCDLoss: alpha', alpha, minimum=0)
        check_number('BRCDLoss: loss_weight', loss_weight, minimum=0)
        if alpha > 1:
            raise ValueError(f'BRCDLoss: alpha must be <= 1, not {alpha}')
        self.temperature = temperature
        self.alpha = alpha
        self.clusters = None if num_clusters is None else CodeClusters(num_clusters, margin)
        self.loss_weight = loss_weight

    def forward(
        self,
        codes_S: Tensor,
        codes_T: Tensor,
        data_samples: list[BaseDataElement] | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            codes_S (Tensor): The student's codes of -1 and 1, (2 N, B): of the first view of all N
                images, then of the second.
            codes_T (Tensor): The teacher's, (2 N, B); no gradient reaches them.
            data_samples (list[BaseDataElement], optional): N data samples with ``sample_idx``, by
                which the cluster of an image is known. Needed with clusters.

        Returns:
            Tensor: Scalar, ``loss_weight`` times the mean over N s and N u.

        Raises:
            ValueError: If the codes have different shapes, or the clusters are not there.
        """
        if codes_S.shape != codes_T.shape:
            raise ValueError(
                f'BRCDLoss compares bits one by one, but codes_S is {tuple(codes_S.shape)} and '
                f'codes_T {tuple(codes_T.shape)}: set `model.architecture.head.num_bits` and '
                '`model.teacher.head.num_bits` to the same number'
            )
        student = codes_S.float().chunk(2)[0]
        first, second = codes_T.detach().float().chunk(2)
        anchors = F.cosine_similarity(student, first)
        alphas, same = torch.full_like(anchors, self.alpha), None
        if self.clusters is not None:
            own, other = clusters_of(self.clusters, data_samples, second)
            alphas[own != other] = 1
            same = own.repeat(2)[:, None] == torch.cat([own, other])
            masks = self.clusters.masks[own]
            student, second = student * masks, second * masks
        pulls = alphas * anchors + (1 - alphas) * F.cosine_similarity(student, second)
        codes = torch.cat([student, second])
        return self.loss_weight * contrast(codes, self.temperature, pulls, same)


def clusters_of(
    clusters: CodeClusters, data_samples: list[BaseDataElement] | None, second: Tensor
) -> tuple[Tensor, Tensor]:
    """Clusters of N images and of the teacher's codes of their second views, (N,) each.

    Raises:
        ValueError: If the clusters are not there, or it is not known which images these are.
    """
    if not clusters.is_fitted:
        raise ValueError(
            'BRCDLoss has no clusters: add default_hooks=dict(code_clusters=dict('
            "type='mmrazor.CodeClusterHook', dataloader=...)), or set num_clusters=None"
        )
    if data_samples is None or any('sample_idx' not in sample for sample in data_samples):
        raise ValueError(
            'BRCDLoss needs `data_samples` with `sample_idx`, as PackInputs gives by default: '
            'add data_samples=dict(recorder=..., from_student=True, data_idx=1) to '
            '`loss_forward_mappings`, or set num_clusters=None'
        )
    numbers = torch.tensor([sample.sample_idx for sample in data_samples])
    return clusters.members[numbers.to(clusters.members.device)], clusters.nearest(second)
