"""No loss makes the host wait for the device, forward or backward."""

import pytest
import torch

from amkd_mm.losses import (
    CCDLoss,
    CTKDLoss,
    MLKDLoss,
    NSTLoss,
    PKTLoss,
    ReviewKDLoss,
    SPLoss,
    StageContrastiveLoss,
    TALDLoss,
    TripletDistillLoss,
    TripletKDLoss,
    VIDLoss,
)
from synchronisations import counted_synchronisations


def logits(*shape):
    return torch.randn(shape or (8, 5), generator=torch.Generator().manual_seed(0))


def embeddings():
    return dict(
        anchor=logits(6, 4),
        anchor_labels=torch.arange(6) % 3,
        reference=logits(8, 4),
        reference_labels=torch.arange(8) % 3,
    )


LABELS = torch.arange(8) % 4
# Each loss, and what it is asked; the student's argument first.
CASES = {
    'ccd': (
        CCDLoss(),
        dict(preds_S=logits(), preds_T=logits(), clean_preds_T=logits()),
    ),
    'ctkd': (CTKDLoss(), dict(preds_S=logits(), preds_T=logits())),
    'mlkd': (MLKDLoss(), dict(preds_S=logits(), preds_T=logits())),
    'nst': (NSTLoss(), dict(s_feature=logits(4, 3, 2, 2), t_feature=logits(4, 5, 4, 4))),
    'pkt': (PKTLoss(), dict(s_feature=logits(), t_feature=logits(8, 3))),
    'sp': (SPLoss(), dict(s_feature=logits(), t_feature=logits(8, 3))),
    'vid': (VIDLoss(3, 5), dict(s_feature=logits(4, 3, 2, 2), t_feature=logits(4, 5, 4, 4))),
    'tald': (TALDLoss(), dict(preds_S=logits(), preds_T=logits(), gt_labels=LABELS)),
    'triplet_kd': (TripletKDLoss(), dict(preds_S=logits(), preds_T=logits(), gt_labels=LABELS)),
    'triplet_kd, one class': (
        TripletKDLoss(),
        dict(preds_S=logits(), preds_T=logits(), gt_labels=0 * LABELS),
    ),
    'positive and targets': (
        TripletDistillLoss(),
        dict(embeddings(), positive=logits(6, 4), anchor_targets=torch.arange(6) // 2),
    ),
    'teacher': (
        TripletDistillLoss(),
        dict(embeddings(), teacher_anchor=logits(6, 7), teacher_reference=logits(8, 7)),
    ),
    'no triplet': (
        TripletDistillLoss(),
        dict(embeddings(), anchor_labels=torch.full((6,), 7)),
    ),
}
for distance in ('euclidean', 'squared', 'cosine'):
    for mining in ('mean', 'hardest'):
        loss = TripletDistillLoss(distance=distance, positive_mining=mining, negative_mining=mining)
        CASES[f'triplet, {distance}, {mining}'] = loss, embeddings()


@pytest.mark.parametrize('name', CASES)
def test_no_synchronisation(name):
    loss, arguments = CASES[name]
    first, *others = arguments
    student = arguments[first].clone().requires_grad_()
    with counted_synchronisations() as found:
        value = loss(student, **{key: arguments[key] for key in others})
        value.backward()
    assert found.number == 0, found.where
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize('loss', [StageContrastiveLoss(), ReviewKDLoss()])
def test_no_synchronisation_of_stages(loss):
    maps = [logits(4, 3, 2, 2).requires_grad_(), logits(4, 6, 1, 1).requires_grad_()]
    with counted_synchronisations() as found:
        loss(maps, [m.detach() for m in maps]).backward()
    assert found.number == 0, found.where
