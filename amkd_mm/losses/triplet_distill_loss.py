"""TripletDistillLoss: distances of boundary samples to positives and negatives."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_bool, check_number


def euclidean_distance(first: Tensor, second: Tensor) -> Tensor:
    """Pairwise L2 distances: (A, D) and (B, D) to (A, B). Its gradient at zero is zero."""
    # Differences instead of the products of the norms: exact for embeddings that almost agree.
    return torch.cdist(first, second, compute_mode='donot_use_mm_for_euclid_dist')


def squared_distance(first: Tensor, second: Tensor) -> Tensor:
    """Pairwise squared L2 distances: (A, D) and (B, D) to (A, B)."""
    return (first[:, None] - second[None]).square().sum(2)


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    """Pairwise one minus the cosine, 0 to 2: (A, D) and (B, D) to (A, B)."""
    return 1 - F.normalize(first, dim=1) @ F.normalize(second, dim=1).t()


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = dict(
    euclidean=euclidean_distance, squared=squared_distance, cosine=cosine_distance
)
MINING = ('mean', 'hardest')


def mine(distances: Tensor, mask: Tensor, mining: str, hardest_is_far: bool) -> Tensor:
    """One distance per anchor from those to its candidates.

    Args:
        distances (Tensor): (A, B).
        mask (Tensor): Which of the B are candidates of which anchor, (A, B) bool.
        mining (str): ``'mean'``, or ``'hardest'``.
        hardest_is_far (bool): Whether the hardest candidate is the farthest (a positive) or the
            nearest (a negative).

    Returns:
        Tensor: (A,); 0 for anchors without candidates.
    """
    if mining == 'mean':
        # where, not a product: 0 * inf would be NaN.
        kept = torch.where(mask, distances, torch.zeros_like(distances))
        return kept.sum(1) / mask.sum(1).clamp_min(1)
    worst = -float('inf') if hardest_is_far else float('inf')
    kept = distances.masked_fill(~mask, worst)
    hardest = kept.amax(1) if hardest_is_far else kept.amin(1)
    return torch.where(mask.any(1), hardest, torch.zeros_like(hardest))


def distance_gap(
    anchor: Tensor,
    reference: Tensor,
    same: Tensor,
    other: Tensor,
    positive: Tensor | None = None,
    distance: str = 'euclidean',
    positive_mining: str = 'mean',
    negative_mining: str = 'hardest',
) -> Tensor:
    """How much farther from each anchor its positive is than its negative, (A,).

    Args:
        anchor (Tensor): (A, D).
        reference (Tensor): (B, D).
        same (Tensor): Which of the references are positives of which anchor, (A, B) bool.
        other (Tensor): Which are negatives, (A, B) bool.
        positive (Tensor, optional): One positive per anchor instead, (A, D).
        distance (str): One of ``DISTANCES``.
        positive_mining (str): One of ``MINING``.
        negative_mining (str): One of ``MINING``.
    """
    measure = DISTANCES[distance]
    distances = measure(anchor, reference)
    to_negative = mine(distances, other, negative_mining, hardest_is_far=False)
    if positive is not None:
        return measure(anchor, positive).diagonal() - to_negative
    return mine(distances, same, positive_mining, hardest_is_far=True) - to_negative


def triplet_distill_loss(
    anchor: Tensor,
    anchor_labels: Tensor,
    reference: Tensor,
    reference_labels: Tensor,
    positive: Tensor | None = None,
    anchor_targets: Tensor | None = None,
    teacher_anchor: Tensor | None = None,
    teacher_reference: Tensor | None = None,
    margin: float = 0.3,
    **choices: Any,
) -> Tensor:
    """Triplet hinge ``max(0, d(a, p) - d(a, n) + margin)``, mean over anchors.

    Arguments as in :class:`TripletDistillLoss`; embeddings are compared as they are.

    Returns:
        Tensor: Scalar; 0, attached to the graph, if no anchor has a positive and a negative.
    """
    same = anchor_labels[:, None] == reference_labels[None]
    other = ~same
    if anchor_targets is not None:
        other = anchor_targets[:, None] == reference_labels[None]
    if not same.numel():
        return anchor.sum() * 0 + reference.sum() * 0
    valid = other.any(1)
    if positive is None:
        valid = valid & same.any(1)
    gap = distance_gap(anchor, reference, same, other, positive, **choices) + margin
    if teacher_anchor is not None and teacher_reference is not None:
        gap = gap - distance_gap(teacher_anchor, teacher_reference, same, other, **choices).detach()
    hinge = F.relu(gap)
    return torch.where(valid, hinge, hinge * 0).sum() / valid.sum().clamp_min(1)


@MODELS.register_module()
class TripletDistillLoss(nn.Module):
    """Triplet loss between boundary samples and clean samples.

    AMKD's abstract publishes that a triplet loss constrains the distance between adversarial
    samples and samples of negative classes. Roles, distance, margin and mining are our
    reconstruction: the anchor is a boundary sample's embedding, its positives are the clean
    samples of its base class in the batch (or one positive of its own, such as the teacher's
    embedding of it), its negatives are the clean samples of all other classes, or of the class
    that it was moved towards. With the teacher's embeddings, too, the student need not keep them
    further apart than the teacher does: ``max(0, d_S(a, p) - d_S(a, n) - (d_T(a, p) - d_T(a, n)) +
    margin)``.

    Args:
        margin (float): How much nearer the positive must be than the negative, >= 0, in units
            of the distance, or how much more so than for the teacher. Defaults to 0.3.
        distance (str): ``'euclidean'``, ``'squared'`` (squared Euclidean) or ``'cosine'``.
            Defaults to ``'euclidean'``.
        normalize (bool): Whether to L2-normalise embeddings first, so that distances are at most
            2 (or 4 squared) and a margin means the same for every network. Defaults to True.
        positive_mining (str): ``'mean'`` distance to the positives, or the ``'hardest'``, the
            farthest. Defaults to ``'mean'``.
        negative_mining (str): ``'hardest'``, the nearest negative, or the ``'mean'``. Defaults
            to ``'hardest'``.
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        margin: float = 0.3,
        distance: str = 'euclidean',
        normalize: bool = True,
        positive_mining: str = 'mean',
        negative_mining: str = 'hardest',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_number('TripletDistillLoss: margin', margin, minimum=0)
        check_number('TripletDistillLoss: loss_weight', loss_weight, minimum=0)
        check_bool('TripletDistillLoss: normalize', normalize)
        if distance not in DISTANCES:
            raise ValueError(
                f'TripletDistillLoss: distance must be one of {tuple(DISTANCES)}, not {distance!r}'
            )
        for name, value in dict(positive=positive_mining, negative=negative_mining).items():
            if value not in MINING:
                raise ValueError(
                    f'TripletDistillLoss: {name}_mining must be one of {MINING}, not {value!r}'
                )
        self.margin = margin
        self.distance = distance
        self.normalize = normalize
        self.positive_mining = positive_mining
        self.negative_mining = negative_mining
        self.loss_weight = loss_weight

    def forward(
        self,
        anchor: Tensor,
        anchor_labels: Tensor,
        reference: Tensor,
        reference_labels: Tensor,
        positive: Tensor | None = None,
        anchor_targets: Tensor | None = None,
        teacher_anchor: Tensor | None = None,
        teacher_reference: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            anchor (Tensor): Embeddings of the boundary samples, (A, D) or (A, D, 1, 1).
            anchor_labels (Tensor): Their base classes, (A,), integers.
            reference (Tensor): Embeddings of the clean samples, (B, D) or (B, D, 1, 1).
            reference_labels (Tensor): Their labels, (B,), integers.
            positive (Tensor, optional): One positive per anchor instead of the reference samples
                of its class, (A, D) or (A, D, 1, 1).
            anchor_targets (Tensor, optional): The classes towards which the boundary samples were
                moved, (A,), integers: then only these are negatives. ``dict(type='TargetClasses')``
                records them.
            teacher_anchor (Tensor, optional): The teacher's embeddings of the boundary samples,
                (A, D'), of any width, to measure by its distances. Not with ``positive``.
            teacher_reference (Tensor, optional): The teacher's embeddings of the clean samples,
                (B, D').

        Returns:
            Tensor: Scalar, ``loss_weight`` times the mean hinge over the anchors that have a
            positive and a negative; 0, attached to the graph, if there are none. Computed in
            float32.

        Raises:
            TypeError: If embeddings are not one tensor.
            ValueError: If shapes disagree, labels are scores, or arguments exclude each other.
        """
        embeddings: dict[str, Any] = dict(
            anchor=anchor,
            reference=reference,
            positive=positive,
            teacher_anchor=teacher_anchor,
            teacher_reference=teacher_reference,
        )
        for name, value in embeddings.items():
            if value is not None:
                check_embeddings(name, value)
                value = value.flatten(1).float()
                embeddings[name] = F.normalize(value, dim=1) if self.normalize else value
        labels: dict[str, Any] = dict(
            anchor_labels=anchor_labels,
            reference_labels=reference_labels,
            anchor_targets=anchor_targets,
        )
        check_shapes(**embeddings, **labels)
        # Autocast would round the products of the cosine distance.
        with torch.autocast(anchor.device.type, enabled=False):
            loss = triplet_distill_loss(
                **embeddings,
                **labels,
                margin=self.margin,
                distance=self.distance,
                positive_mining=self.positive_mining,
                negative_mining=self.negative_mining,
            )
        return self.loss_weight * loss


def check_embeddings(name: str, value: Tensor) -> None:
    """Raise ``TypeError`` unless the argument ``name`` is a tensor of one row per sample."""
    if not isinstance(value, Tensor) or value.dim() < 2:
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(
            f'{name} must be a tensor of embeddings, (N, D) or (N, D, 1, 1), not {found}; '
            'record data_idx=-1 of a module that returns a tuple'
        )


def check_shapes(
    anchor: Tensor,
    reference: Tensor,
    positive: Tensor | None,
    teacher_anchor: Tensor | None,
    teacher_reference: Tensor | None,
    anchor_labels: Tensor,
    reference_labels: Tensor,
    anchor_targets: Tensor | None,
) -> None:
    """Raise ``ValueError`` if embeddings (A, D), (B, D) and labels do not belong together."""
    if anchor.size(1) != reference.size(1):
        raise ValueError(
            f'anchor and reference must have the same width, not {anchor.size(1)} and '
            f'{reference.size(1)}: put a connector before one of them'
        )
    if positive is not None and positive.shape != anchor.shape:
        raise ValueError(
            f'positive must be one embedding per anchor, {tuple(anchor.shape)}, '
            f'not {tuple(positive.shape)}'
        )
    if (teacher_anchor is None) != (teacher_reference is None) or (
        teacher_anchor is not None and positive is not None
    ):
        raise ValueError(
            'teacher_anchor and teacher_reference belong together, and go without positive'
        )
    if (
        teacher_anchor is not None
        and teacher_reference is not None
        and (
            len(teacher_anchor) != len(anchor)
            or len(teacher_reference) != len(reference)
            or teacher_anchor.size(1) != teacher_reference.size(1)
        )
    ):
        raise ValueError(
            'teacher_anchor and teacher_reference must be one embedding of one width for each of '
            f'{len(anchor)} and {len(reference)} samples, not {tuple(teacher_anchor.shape)} and '
            f'{tuple(teacher_reference.shape)}'
        )
    for name, labels, rows in (
        ('anchor_labels', anchor_labels, anchor),
        ('reference_labels', reference_labels, reference),
        ('anchor_targets', anchor_targets, anchor),
    ):
        if labels is not None and (labels.dim() != 1 or len(labels) != len(rows)):
            recorder = 'TargetClasses' if name == 'anchor_targets' else 'Labels'
            raise ValueError(
                f'{name} must be one class index per row, ({len(rows)},), not '
                f"{tuple(labels.shape)}; record dict(type='{recorder}')"
            )
