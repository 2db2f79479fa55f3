"""CRDLoss: contrastive representation distillation on MMPretrain's data."""

import math
from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement
from mmrazor.models.losses.crd_loss import ContrastLoss
from mmrazor.models.losses.crd_loss import CRDLoss as MMRazorCRDLoss
from mmrazor.registry import MODELS
from torch import Tensor, nn

from .unit_vectors import unit_vectors


@MODELS.register_module(force=True)
class CRDLoss(MMRazorCRDLoss):
    """MMRazor's ``CRDLoss`` (Tian et al., ICLR 2020), with the same arguments, repaired.

    MMRazor 1.0.0 wants data packed by its ``PackCRDClsInputs``, which needs MMCls, around its
    ``CRDDataset``, which fails on classes of different size with numpy >= 1.24. It ignores
    ``loss_weight``, prints, keeps the graph of the first batch in a buffer (so that the model
    cannot be copied), draws negatives on the CPU for memories on the GPU, and prepares that by a
    loop over all images. Here the index that MMPretrain's ``PackInputs`` gives every sample is
    enough: negatives are drawn uniformly from all images, unless the samples have
    ``contrast_sample_idxs``.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.0.
        temperature (float): Of the scores. Defaults to 0.07.
        neg_num (int): Negatives of each image. Defaults to 16384.
        sample_n (int): Number of training images. Defaults to 50000.
        dim_out (int): Width of the embeddings. Defaults to 128.
        momentum (float): Of an image's embedding in the memory. Defaults to 0.5.
        eps (float): Keeps the ratio of a score and its noise finite. Defaults to 1e-7.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        temperature: float = 0.07,
        neg_num: int = 16384,
        sample_n: int = 50000,
        dim_out: int = 128,
        momentum: float = 0.5,
        eps: float = 1e-7,
    ) -> None:
        # Not MMRazor's, which prepares its way of drawing.
        nn.Module.__init__(self)
        self.loss_weight = loss_weight
        self.eps = eps
        self.contrast = ContrastMemory(dim_out, sample_n, neg_num, temperature, momentum)
        self.criterion_s_t = ContrastLoss(sample_n, eps=eps)

    def forward(
        self, s_feats: Tensor, t_feats: Tensor, data_samples: Sequence[BaseDataElement]
    ) -> Tensor:
        """Contrast each image's two embeddings with those of other images.

        Args:
            s_feats (Tensor): Embeddings of the student, (N, D), of length 1.
            t_feats (Tensor): Embeddings of the teacher, (N, D), of length 1.
            data_samples (Sequence[BaseDataElement]): N samples with ``sample_idx``.

        Raises:
            KeyError: If the samples have no ``sample_idx``.
            ValueError: If an index is beyond ``sample_n``.
        """

        def indices(name: str) -> Tensor:
            return torch.stack([torch.as_tensor(sample.get(name)) for sample in data_samples])

        if data_samples[0].get('sample_idx') is None:
            raise KeyError(
                'CRDLoss needs the index of each image: its data sample has no `sample_idx`, which '
                'MMPretrain sets, unless `PackInputs` is given other `meta_keys`'
            )
        own, size = indices('sample_idx').flatten(), self.contrast.n_sample
        if own.max() >= size:
            raise ValueError(
                f'CRDLoss: image {int(own.max())} has no place among {size}: set `sample_n` to the '
                'number of training images'
            )
        others = None
        if data_samples[0].get('contrast_sample_idxs') is not None:
            others = indices('contrast_sample_idxs').to(s_feats.device)
        outputs = self.contrast(s_feats, t_feats, own.to(s_feats.device), others)
        return self.loss_weight * sum(self.criterion_s_t(output) for output in outputs)


class ContrastMemory(nn.Module):
    """An embedding of each training image and network; buffers are named as MMRazor's.

    Args:
        dim_out (int): Width of the embeddings, D.
        n_sample (int): Number of images.
        neg_sample (int): Negatives of each image, M.
        temperature (float): Of the scores.
        momentum (float): Of an image's embedding, when it is seen again.

    Attributes:
        params (Tensor): M, temperature, the normalising constants of student and teacher, below 0
            until the first batch, and momentum; (5,).
        memory_v1 (Tensor): The student's, (n_sample, D).
        memory_v2 (Tensor): The teacher's, (n_sample, D).
    """

    params: Tensor
    memory_v1: Tensor
    memory_v2: Tensor

    def __init__(
        self, dim_out: int, n_sample: int, neg_sample: int, temperature: float, momentum: float
    ) -> None:
        super().__init__()
        self.n_sample = n_sample
        self.register_buffer('params', torch.tensor([neg_sample, temperature, -1, -1, momentum]))
        bound = 1 / math.sqrt(dim_out / 3)
        for name in ('memory_v1', 'memory_v2'):
            self.register_buffer(name, torch.rand(n_sample, dim_out) * 2 * bound - bound)

    def draw(self, number: int) -> Tensor:
        """Indices of images, each as likely as any other, (number,)."""
        return torch.randint(self.n_sample, (number,))

    def forward(
        self, feat_s: Tensor, feat_t: Tensor, idx: Tensor, sample_idx: Tensor | None = None
    ) -> list[Tensor]:
        """Scores of student and teacher, (N, 1 + M, 1) each, the first column the image itself.

        Args:
            feat_s (Tensor): Embeddings of the student, (N, D).
            feat_t (Tensor): Embeddings of the teacher, (N, D).
            idx (Tensor): Indices of the images, (N,).
            sample_idx (Tensor, optional): Those of the images and of their negatives, (N, 1 + M).
                Defaults to None, drawn.
        """
        count = int(self.params[0])
        temperature, momentum = float(self.params[1]), float(self.params[4])
        if sample_idx is None:
            drawn = self.draw(len(idx) * (count + 1))
            sample_idx = drawn.view(len(idx), -1).to(idx.device)
            sample_idx[:, 0] = idx

        scores = []
        # The embedding of one network against the memory of the other.
        pairs = (feat_s, self.memory_v2), (feat_t, self.memory_v1)
        for place, (feat, memory) in enumerate(pairs, 2):
            score = torch.exp(torch.bmm(memory[sample_idx], feat.unsqueeze(2)) / temperature)
            if self.params[place] < 0:
                # The constant that makes it a probability is estimated from the first batch.
                self.params[place] = score.detach().mean() * len(memory)
            scores.append(score / float(self.params[place]))

        with torch.no_grad():
            for feat, memory in ((feat_s, self.memory_v1), (feat_t, self.memory_v2)):
                update = momentum * memory[idx] + (1 - momentum) * feat
                memory.index_copy_(0, idx, unit_vectors(update).to(memory.dtype))
        return scores
