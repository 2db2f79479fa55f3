"""CodeClusters: which codes of a teacher belong together, and which of their bits say so."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.argument_checks import check_int, check_number

# Starts of k-means, of which the best counts, as in BRCD's code.
STARTS = 30


class CodeClusters(nn.Module):
    """Clusters of the codes of all training images (He et al., WWW 2024).

    Published: k-means of the teacher's codes, and a mask of each cluster without redundant bits.
    Bits of a code are learned to be independent of each other, so that within a cluster some bits
    are near to random: their mean over the cluster is near 0, and they say nothing of what its
    images have in common. Bits whose absolute mean is below the margin are left out. (The mask of
    the authors' published code keeps nothing: its two comparisons cancel.)

    The clusters are found by :meth:`fit`, before a training, and are part of its checkpoints.

    Args:
        num_clusters (int): Number of clusters, C.
        margin (float): Smallest absolute mean of a bit that is kept, in [0, 1].

    Attributes:
        centers (Tensor): Means of the codes of each cluster, (C, B); empty before :meth:`fit`.
        masks (Tensor): 1 for each bit that is kept and 0 for the others, (C, B).
        members (Tensor): Cluster of each training image, (M,) int64.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If one is out of its range.
    """

    centers: Tensor
    masks: Tensor
    members: Tensor

    def __init__(self, num_clusters: int, margin: float) -> None:
        super().__init__()
        check_int('num_clusters', num_clusters, minimum=1)
        check_number('margin', margin, minimum=0)
        if margin > 1:
            raise ValueError(f'margin must be <= 1, the absolute mean of equal bits, not {margin}')
        self.num_clusters = num_clusters
        self.margin = margin
        self.register_buffer('centers', torch.empty(0))
        self.register_buffer('masks', torch.empty(0))
        self.register_buffer('members', torch.empty(0, dtype=torch.long))

    @property
    def is_fitted(self) -> bool:
        """Whether there are clusters."""
        return len(self.centers) > 0

    def fit(self, codes: Tensor, seed: int) -> None:
        """Find the clusters.

        Args:
            codes (Tensor): The teacher's codes of all training images, without augmentation and in
                their order, (M, B) of -1 and 1.
            seed (int): Of k-means.

        Raises:
            ValueError: If there are fewer different codes than clusters.
        """
        # Here, because scikit-learn takes a second to import.
        from sklearn.cluster import KMeans

        different = len(codes.unique(dim=0))
        if different < self.num_clusters:
            raise ValueError(
                f'num_clusters is {self.num_clusters}, but the teacher has only {different} '
                'different codes: take fewer, or check `model.teacher_ckpt`'
            )
        means = KMeans(
            self.num_clusters, init='k-means++', n_init=STARTS, random_state=seed % 2**32
        )
        members = torch.from_numpy(means.fit_predict(codes.float().cpu().numpy())).long()
        weights = F.one_hot(members, self.num_clusters).float().t()
        centers = weights @ codes.float().cpu() / weights.sum(1, keepdim=True)
        device = self.centers.device
        self.centers = centers.to(device)
        self.masks = (centers.abs() >= self.margin).float().to(device)
        self.members = members.to(device)

    def nearest(self, codes: Tensor) -> Tensor:
        """The clusters, (N,) int64, with the centres nearest to codes (N, B)."""
        return torch.cdist(codes.float(), self.centers).argmin(1)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # How many images there are is known to the checkpoint.
        for name, buffer in self.named_buffers():
            saved = state_dict.get(prefix + name)
            if saved is not None:
                setattr(self, name, buffer.new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
