"""A trial step against the same step by hand."""

import copy

import pytest
import torch
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

from amkd_mm.diagnostics.trial_step import TrialStep, try_step
from distillers import logit_distiller
from networks import classifier

K = 3
HOOK = dict(
    type='BoundarySampleHook',
    attack=dict(type='BoundarySearch'),
    num_samples=4,
    target='runner_up',
    student_correct=False,
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = classifier(num_classes=K, norm='GN')
    config = dict(
        type='AMKD',
        _scope_='mmrazor',
        architecture=network,
        teacher=network,
        distiller=logit_distiller(loss_kl=0, loss_boundary=1),
        data_preprocessor=dict(mean=[127.0] * 3, std=[60.0] * 3),
    )
    model = MODELS.build(config)
    model.init_weights()
    torch.nn.init.normal_(model.teacher.head.fc.weight)
    model._is_init = True
    return model


@pytest.fixture
def items(model):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 3, 8, 8), generator=generator).to(torch.uint8)
    inputs = model.data_preprocessor(dict(inputs=images))['inputs']
    labels = model.eval().teacher(inputs, mode='tensor').argmax(1).tolist()
    return [
        dict(inputs=image, data_samples=DataSample().set_gt_label(label))
        for image, label in zip(images, labels, strict=True)
    ]


def test_losses_are_those_of_the_step(model, items):
    same = copy.deepcopy(model).train()
    data = dict(
        inputs=[i['inputs'] for i in items], data_samples=[i['data_samples'] for i in items]
    )
    losses = same(**same.data_preprocessor(copy.deepcopy(data), True), mode='loss')
    step = try_step(model, items)
    assert step.is_finite and step.boundary == {}
    for name, value in losses.items():
        assert step.losses[name] == pytest.approx(value.item(), rel=1e-5)
    assert step.losses['loss'] == pytest.approx(sum(map(float, losses.values())), rel=1e-5)


def test_boundary_samples(model, items):
    step = try_step(model, items, [HOOK])
    assert step.boundary['samples'] == 4 and step.boundary['reached'] == 1
    assert 0 < step.boundary['probability_gap'] <= 0.07


def test_parameters_that_nothing_depends_on(model, items):
    assert try_step(model, items).without_gradient == []
    model.student.unused = torch.nn.Linear(2, 2)
    step = try_step(model, items)
    assert step.without_gradient == ['unused.weight', 'unused.bias']
    assert step.teacher_gradients == []


def test_gradients_of_the_teacher_are_seen(model, items):
    model.teacher.requires_grad_()
    model.teacher_trainable = True
    model.teacher_is_folded = False
    assert 'head.fc.weight' in try_step(model, items).teacher_gradients


def test_losses_that_are_no_numbers():
    assert not TrialStep(dict(loss=float('nan')), {}, [], []).is_finite
    assert not TrialStep(dict(loss=float('inf')), {}, [], []).is_finite
