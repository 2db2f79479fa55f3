"""FeatureFusionLoss: a classifier of the maps of two networks, which teaches both."""

import amkd_mm  # noqa: F401

import numpy as np
import pytest
import torch
from mmrazor.registry import MODELS

N, K = 4, 3
LABELS = torch.tensor([2, 0, 1, 2])


def build(**changes):
    torch.manual_seed(0)
    settings = dict(student_channels=2, teacher_channels=5, num_classes=K, tau=2, loss_weight=0.5)
    return MODELS.build(dict(type='FeatureFusionLoss', **{**settings, **changes})).double()


def given(student=(N, 2, 4, 4), teacher=(N, 5, 2, 2), classes=K):
    generator = torch.Generator().manual_seed(1)
    shapes = dict(s_feature=student, t_feature=teacher, preds_S=(N, classes), preds_T=(N, classes))
    return {
        name: torch.randn(shape, generator=generator).double().requires_grad_()
        for name, shape in shapes.items()
    }


def log_softmax(row):
    return row - np.log(np.exp(row).sum())


@pytest.mark.parametrize('smaller', ['teacher', 'student', 'neither'])
def test_against_a_loop(smaller):
    shapes = dict(
        teacher={},
        student=dict(student=(N, 2, 2, 2), teacher=(N, 5, 4, 4)),
        neither=dict(student=(N, 2, 2, 2)),
    )
    loss, data = build(), given(**shapes[smaller])
    found = loss(**data, gt_labels=LABELS)

    maps = []
    for name in ('s_feature', 't_feature'):
        values = data[name].detach().numpy()
        size = values.shape[2] // 2
        # The mean of each quarter.
        quarters = values.reshape(*values.shape[:2], 2, size, 2, size).mean((3, 5))
        maps.append(quarters)
    joined = np.concatenate(maps, 1)
    kernel = loss.fusion[0].weight.detach().numpy()[:, :, 0, 0]
    fused = np.einsum('oc,nchw->nohw', kernel, joined)
    mean, variance = fused.mean((0, 2, 3)), fused.var((0, 2, 3))
    fused = (fused - mean[:, None, None]) / np.sqrt(variance[:, None, None] + 1e-5)
    pooled = fused.clip(0).mean((2, 3))
    weight, bias = (p.detach().numpy() for p in loss.classifier.parameters())
    answers = pooled @ weight.T + bias
    total = 0
    for n, label in enumerate(LABELS):
        total -= log_softmax(answers[n])[label]
        soft = log_softmax(answers[n] / 2)
        for name in ('preds_S', 'preds_T'):
            preds = log_softmax(data[name][n].detach().numpy() / 2)
            total += 2**2 * (np.exp(soft) * (soft - preds)).sum()
    assert found.item() == pytest.approx(0.5 * total / N)


def test_labels_reach_maps_and_classifier_and_its_answers_logits_alone():
    loss, data = build(), given()
    loss(**data, gt_labels=LABELS).backward()
    first = {name: value.grad.clone() for name, value in data.items()}
    parameters = [parameter.grad.clone() for parameter in loss.parameters()]
    assert all(grad.abs().sum() > 0 for grad in (*first.values(), *parameters))
    # Other logits of the networks change what reaches them, and nothing else.
    other = given()
    with torch.no_grad():
        other['preds_S'] += torch.arange(K)
        other['preds_T'] += 3 * torch.arange(K)
    loss.zero_grad()
    loss(**other, gt_labels=LABELS).backward()
    for name in ('preds_S', 'preds_T'):
        assert not torch.allclose(other[name].grad, first[name])
    for name in ('s_feature', 't_feature'):
        torch.testing.assert_close(other[name].grad, first[name])
    for parameter, grad in zip(loss.parameters(), parameters, strict=True):
        torch.testing.assert_close(parameter.grad, grad)


@pytest.mark.parametrize(
    ('settings', 'data', 'message'),
    [
        (dict(), dict(student=(N, 3, 4, 4)), 'student_channels must be of a feature map'),
        (dict(), dict(teacher=(N, 5)), 'teacher_channels must be of a feature map'),
        (dict(), dict(teacher=(2, 5, 2, 2)), 'images of one batch'),
        (dict(num_classes=4), dict(), 'num_classes must be 3'),
    ],
)
def test_what_does_not_fit(settings, data, message):
    with pytest.raises(ValueError, match=f'FeatureFusionLoss.*{message}'):
        build(**settings)(**given(**data), gt_labels=LABELS)


@pytest.mark.parametrize(
    'wrong',
    [
        dict(student_channels=0),
        dict(teacher_channels=0),
        dict(num_classes=1),
        dict(tau=0),
        dict(loss_weight=-1),
    ],
)
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match=f'FeatureFusionLoss: {next(iter(wrong))}'):
        build(**wrong)
