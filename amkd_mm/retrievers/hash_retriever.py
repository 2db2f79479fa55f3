"""HashRetriever: finds images by the Hamming distance of binary codes."""

from typing import Any

import torch
from mmengine.runner import Runner
from mmpretrain.models import ImageToImageRetriever
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .hash_head import HashHead


@MODELS.register_module()
class HashRetriever(ImageToImageRetriever):
    """MMPretrain's ``ImageToImageRetriever`` with codes of bits as features.

    By ``mode='tensor'`` it gives codes of -1 and 1, (N, B), and by ``mode='predict'`` the database
    from the nearest image to the farthest: ``pred_label``, the ranked indices, where images of the
    same distance stand in the order of the database; ``pred_score``, the inner products with all M
    codes of the database, which are B minus twice the Hamming distance; ``gt_score``, 1 for each
    image of the database that shares a label with the query, if both have some. The codes of the
    database are made anew after a training step.

    Args:
        image_encoder (dict | list[dict]): A network that gives features, or several in a row, such
            as a backbone and a neck.
        head (dict): Config of a :class:`HashHead`.
        prototype (dict | DataLoader | Tensor | str): The database: a dataloader in the order of its
            data set, or codes of -1 and 1, (M, B), or a file of :meth:`dump_prototype`, which may
            be another network's, as a student that is to search its teacher's codes needs.
        **kwargs: ``topk``, ``pretrained``, ``train_cfg``, ``data_preprocessor`` and ``init_cfg`` of
            ``ImageToImageRetriever``.

    Raises:
        TypeError: If the head is no ``HashHead``.
        ValueError: If the database has codes of another number of bits.
    """

    def __init__(
        self,
        image_encoder: dict | list[dict],
        head: dict,
        prototype: dict | DataLoader | Tensor | str,
        **kwargs: Any,
    ) -> None:
        super().__init__(image_encoder, prototype, head, similarity_fn=inner_products, **kwargs)
        if not isinstance(self.head, HashHead):
            raise TypeError(
                'HashRetriever needs head=dict(type="HashHead", num_bits=..., in_channels=...), '
                f'not {type(self.head).__name__}'
            )
        self.prototype_labels: Tensor | None = None
        """Which classes each image of the database has, (M, K) bool, if it has labels."""

    def train(self, mode: bool = True) -> 'HashRetriever':
        """Set the mode; what is trained needs other codes of the database."""
        if mode:
            self.prototype_inited = False
        return super().train(mode)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Codes (N, B) of images (N, C, H, W)."""
        return self.head(self.image_encoder(inputs))

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Losses of two views of N images, (2 N, C, H, W); see :meth:`HashHead.loss`."""
        return self.head.loss(self.image_encoder(inputs), data_samples)

    def matching(self, inputs: Tensor) -> dict[str, Tensor]:
        """Compare codes (N, B) with those of the database; the nearest come first."""
        scores = self.similarity_fn(inputs, self.prototype_vecs)
        ordered, indices = scores.sort(dim=-1, descending=True, stable=True)
        return dict(score=scores, pred_label=indices, pred_score=ordered)

    @torch.no_grad()
    def prepare_prototype(self) -> None:
        """Make or read the codes of the database."""
        if isinstance(self.prototype, dict):
            self.prototype = Runner.build_dataloader(self.prototype)
        if isinstance(self.prototype, DataLoader) and self.prototype_labels is None:
            self.prototype_labels = labels_of_all(self.prototype.dataset)
        super().prepare_prototype()
        bits = self.prototype_vecs.size(-1)
        if bits != self.head.num_bits:
            raise ValueError(
                f'`prototype` has codes of {bits} bits, but `head.num_bits` is {self.head.num_bits}'
            )

    def dump_prototype(self, path: str) -> None:
        """Save codes and labels of the database, for the ``prototype`` of another network."""
        if not self.prototype_inited:
            self.prepare_prototype()
        codes = self.prototype_vecs.cpu().to(torch.int8)
        torch.save(dict(codes=codes, labels=self.prototype_labels), path)

    def _get_prototype_vecs_from_dataloader(self, data_loader: DataLoader) -> Tensor:
        # Where a sampler shows an image to several processes, MMPretrain sums its codes.
        return super()._get_prototype_vecs_from_dataloader(data_loader).sign()

    def _get_prototype_vecs_from_path(self, proto_path: str) -> Tensor:
        saved = super()._get_prototype_vecs_from_path(proto_path)
        if isinstance(saved, dict):
            self.prototype_labels = saved['labels']
            saved = saved['codes']
        return saved.float()

    def _get_predictions(
        self, result: dict[str, Tensor], data_samples: list[DataSample] | None
    ) -> list[DataSample]:
        samples = super()._get_predictions(result, data_samples)
        if self.prototype_labels is not None:
            for sample in samples:
                if 'gt_label' in sample:
                    shared = self.prototype_labels[:, sample.gt_label.cpu()].any(1)
                    sample.set_gt_score(shared.to(sample.pred_score))
        return samples


def inner_products(codes: Tensor, others: Tensor) -> Tensor:
    """Of codes (N, B) with others (M, B): (N, M), the number of equal bits minus that of others."""
    return codes @ others.t()


def labels_of_all(dataset: Dataset) -> Tensor | None:
    """Which classes each image of a data set has, (M, K) bool, or None if one has no label."""
    labels = [dataset.get_data_info(index).get('gt_label') for index in range(len(dataset))]
    if not labels or any(label is None for label in labels):
        return None
    rows = [torch.as_tensor(label).reshape(-1).long() for label in labels]
    found = torch.zeros(len(rows), 1 + max(int(row.max()) for row in rows if len(row)))
    for row, classes in zip(found, rows, strict=True):
        row[classes] = 1
    return found.bool()
