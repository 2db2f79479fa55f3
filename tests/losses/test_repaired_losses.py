"""Each repaired loss of MMRazor, by the symptom that the repair removes."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample

from amkd_mm.losses.repaired import (
    AngleWiseRKD,
    CRDLoss,
    DistanceWiseRKD,
    DKDLoss,
    InformationEntropyLoss,
    KLDivergence,
    L2Loss,
)


def finite(*tensors):
    return all(torch.isfinite(tensor).all() for tensor in tensors)


@pytest.mark.parametrize('reduction', ['sum', 'batchmean', 'mean'])
def test_dkd_has_the_reduction_that_it_is_given(reduction):
    torch.manual_seed(0)
    student, teacher, labels = torch.randn(8, 5), torch.randn(8, 5), torch.arange(8) % 5
    rows = [
        DKDLoss(tau=2, beta=3, reduction='sum')(student[i : i + 1], teacher[i : i + 1], labels[i])
        for i in range(8)
    ]
    loss = DKDLoss(tau=2, beta=3, reduction=reduction)(student, teacher, labels)
    if reduction == 'mean':
        # Of two probabilities in the first part, and of five in the second.
        first = DKDLoss(tau=2, beta=0, reduction='sum')(student, teacher, labels) / 16
        second = DKDLoss(tau=2, alpha=0, beta=3, reduction='sum')(student, teacher, labels) / 40
        torch.testing.assert_close(loss, first + second)
    else:
        torch.testing.assert_close(loss, sum(rows) / (1 if reduction == 'sum' else 8))


@pytest.mark.filterwarnings('error')
def test_dkd_bears_probabilities_of_zero():
    student = torch.tensor([[-300.0, 300, 0], [300, -300, 0]], requires_grad=True)
    teacher = torch.tensor([[0.0, 300, 1], [300, -300, 0]])
    loss = DKDLoss()(student, teacher, torch.tensor([0, 0]))
    loss.backward()
    assert finite(loss, student.grad)


def test_features_of_zero_stay_zero():
    torch.manual_seed(0)
    features = torch.randn(3, 4, 2, 2)
    features[0] = 0
    features.requires_grad_()
    loss = L2Loss()(features, torch.randn(3, 4, 2, 2))
    loss.backward()
    assert finite(loss, features.grad) and features.grad.abs().max() < 10

    normalized = L2Loss(mult=2.0).normalize_feature(features)
    torch.testing.assert_close(normalized[1:], 2 * F.normalize(features[1:].flatten(1)))


@pytest.mark.parametrize('loss', [DistanceWiseRKD(), AngleWiseRKD()])
def test_relations_of_equal_embeddings_have_a_gradient(loss):
    torch.manual_seed(0)
    for embeddings in (torch.ones(4, 3), torch.randn(1, 3)):
        embeddings.requires_grad_()
        value = loss(embeddings, torch.randn(len(embeddings), 3))
        value.backward()
        assert finite(value, embeddings.grad) and embeddings.grad.abs().max() < 1e3


def samples(indices, **fields):
    """Data samples as MMPretrain's ``PackInputs`` makes them."""
    found = [DataSample(metainfo=dict(sample_idx=index)) for index in indices]
    for name, values in fields.items():
        for sample, value in zip(found, values, strict=True):
            sample.set_field(value, name)
    return found


def unit_rows(*size):
    return F.normalize(torch.randn(*size), dim=1)


def test_crd_needs_no_wrapped_dataset(capsys):
    torch.manual_seed(0)
    loss = CRDLoss(neg_num=7, sample_n=20, dim_out=4)
    before = loss.contrast.memory_v1.clone()
    student = unit_rows(3, 4).requires_grad_()
    value = loss(student, unit_rows(3, 4), samples([4, 0, 19]))
    value.backward()
    assert finite(value, student.grad)
    moved = (loss.contrast.memory_v1 != before).any(1).nonzero().flatten()
    assert moved.tolist() == [0, 4, 19]
    assert capsys.readouterr().out == ''
    # The normalising constants of the first batch stay, and hold no graph.
    constants = loss.contrast.params.clone()
    loss(student, unit_rows(3, 4), samples([1, 2, 3]))
    assert torch.equal(loss.contrast.params, constants) and constants[2:4].gt(0).all()
    copy.deepcopy(loss)


def test_crd_weight_counts():
    values = []
    for weight in (1.0, 0.25):
        torch.manual_seed(0)
        loss = CRDLoss(loss_weight=weight, neg_num=7, sample_n=20, dim_out=4)
        values.append(loss(unit_rows(3, 4), unit_rows(3, 4), samples([4, 0, 19])))
    torch.testing.assert_close(values[1], values[0] / 4)


def test_crd_takes_given_negatives_as_array_or_tensor():
    indices = torch.tensor([[4, 1, 2], [0, 5, 5], [19, 3, 4]])
    values = []
    for given in (indices, indices.numpy()):
        torch.manual_seed(0)
        loss = CRDLoss(neg_num=2, sample_n=20, dim_out=4)
        fields = dict(contrast_sample_idxs=given)
        values.append(loss(unit_rows(3, 4), unit_rows(3, 4), samples([4, 0, 19], **fields)))
    assert torch.equal(*values)


def test_crd_says_what_is_missing():
    loss = CRDLoss(neg_num=7, sample_n=20, dim_out=4)
    features = unit_rows(1, 4)
    with pytest.raises(ValueError, match='image 20 has no place among 20: set `sample_n`'):
        loss(features, features, samples([20]))
    with pytest.raises(KeyError, match='no `sample_idx`'):
        loss(features, features, [DataSample()])


def test_crd_draws_from_all_images():
    torch.manual_seed(0)
    drawn = CRDLoss(neg_num=7, sample_n=20).contrast.draw(2000)
    counts = drawn.bincount(minlength=20)
    assert len(counts) == 20 and counts.min() > 50


def test_entropy_bears_probabilities_of_zero():
    logits = torch.tensor([[400.0, 0, -400], [400, 0, -400]], requires_grad=True)
    loss = InformationEntropyLoss()(logits)
    loss.backward()
    assert finite(loss, logits.grad)

    logits = torch.randn(6, 4)
    probs = logits.softmax(1).mean(0)
    expected = (probs * probs.log10()).sum()
    torch.testing.assert_close(InformationEntropyLoss()(logits), expected)


def test_divergence_from_a_teacher_with_gradients_bears_probabilities_of_zero():
    teacher = torch.tensor([[400.0, 0, -400]], requires_grad=True)
    student = torch.randn(1, 3)
    loss = KLDivergence(teacher_detach=False)(student, teacher)
    loss.backward()
    assert finite(loss, teacher.grad)

    pair = torch.randn(4, 3), torch.randn(4, 3)
    settings = dict(tau=3, loss_weight=-2)
    attached = KLDivergence(teacher_detach=False, **settings)(*pair)
    torch.testing.assert_close(attached, KLDivergence(**settings)(*pair))
