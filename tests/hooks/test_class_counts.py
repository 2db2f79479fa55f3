"""Two classes, where there is one other class, and as many as ImageNet-21k has."""

import resource
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

from amkd_mm.diagnostics.trial_step import try_step
from networks import classifier

ROOT = Path(__file__).resolve().parents[2]
AMKD = Config.fromfile(ROOT / 'configs/_base_/distillers/amkd.py').model


def step(num_classes, **hook):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            AMKD,
            architecture=classifier(num_classes=num_classes),
            teacher=classifier(num_classes=num_classes),
            data_preprocessor=dict(mean=[127.0] * 3, std=[60.0] * 3),
        )
    )
    model.init_weights()
    torch.nn.init.normal_(model.teacher.head.fc.weight)
    model._is_init = True
    images = torch.randint(0, 256, (8, 3, 8, 8)).to(torch.uint8)
    inputs = model.data_preprocessor(dict(inputs=images))['inputs']
    labels = model.eval().teacher(inputs, mode='tensor').argmax(1).tolist()
    items = [
        dict(inputs=image, data_samples=DataSample().set_gt_label(label))
        for image, label in zip(images, labels, strict=True)
    ]
    hook = dict(type='BoundarySampleHook', num_samples=4, student_correct=False) | hook
    return try_step(model, items, [hook])


@pytest.mark.parametrize('attack', ['BoundarySearch', 'BSSAttack'])
@pytest.mark.parametrize('base', ['random', 'discrepancy'])
@pytest.mark.parametrize('target', ['sample', 'runner_up', 'random'])
def test_two_classes(attack, base, target):
    found = step(2, attack=dict(type=attack), base=base, target=target, keep_unreached=True)
    assert found.is_finite and found.without_gradient == []
    assert found.boundary['samples'] == 4
    if attack == 'BoundarySearch':
        assert found.boundary['reached'] == 1 and found.boundary['probability_gap'] <= 0.07


@pytest.mark.parametrize('base', ['random', 'discrepancy'])
@pytest.mark.parametrize('target', ['sample', 'runner_up', 'random'])
def test_as_many_classes_as_imagenet_21k(base, target):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    attack = dict(type='BoundarySearch', max_steps=20)
    found = step(21841, attack=attack, base=base, target=target, keep_unreached=True)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert found.is_finite and found.boundary['samples'] == 4
    # A number for each pair of classes would take 1,900 MiB.
    assert grown < 400
