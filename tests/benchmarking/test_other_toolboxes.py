"""KD by other training loops: each makes the step that the formulas say."""

import copy
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from amkd_mm.benchmarking.other_toolboxes import LOOPS, KDTask, PlainImages, available
from amkd_mm.data_preprocessors.building import build_preprocessor
from amkd_mm.data_preprocessors.normalizer import Normalizer
from labelled_images import LabelledImages, random_images

LABELS = [0, 1, 2, 1, 0, 2, 2]
INSTALLED = [
    pytest.param(
        name, marks=pytest.mark.skipif(name[0] != 'b' and not find_spec(name), reason='not there')
    )
    for name in LOOPS
]


def preprocessor(to_rgb):
    return build_preprocessor(
        dict(mean=[120.0, 110.0, 100.0], std=[50.0, 60.0, 70.0], to_rgb=to_rgb)
    )


@pytest.fixture
def images():
    data = LabelledImages(random_images(len(LABELS)), LABELS)
    return PlainImages(data, Normalizer(preprocessor(to_rgb=True)))


def network(seed):
    torch.manual_seed(seed)
    # Dropout would show in a teacher that is not in evaluation mode.
    drop = nn.Dropout(0.5) if seed else nn.Identity()
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), drop, nn.Linear(8, 6))


def test_images_are_what_the_preprocessor_makes_of_them(images):
    batch = dict(inputs=random_images(len(LABELS)))
    expected = preprocessor(to_rgb=True)(batch, False)['inputs']
    assert len(images) == len(LABELS)
    for index, (label, image) in enumerate(zip(LABELS, expected, strict=True)):
        found = images[index]
        torch.testing.assert_close(found[0], image)
        assert found[1:] == (label, index)


@pytest.mark.parametrize('name', INSTALLED)
def test_steps(name, images):
    """Two steps over all images: cross entropy, and KL divergence at temperature 4, times 16."""
    student, teacher = network(seed=0), network(seed=1).train()
    expected = copy.deepcopy(student)
    task = KDTask(
        student, teacher, images, len(images), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)
    )
    training = LOOPS[name](task)
    next(training)
    next(training)
    inputs = torch.stack([images[index][0] for index in range(len(images))])
    labels = torch.tensor(LABELS)
    optimizer = torch.optim.SGD(expected.parameters(), 0.1, momentum=0.9)
    teacher = network(seed=1).eval()
    for _ in range(2):
        logits = expected(inputs)
        p, q = (teacher(inputs) / 4).softmax(1).detach(), (logits / 4).softmax(1)
        loss = F.cross_entropy(logits, labels) + 16 * (p * (p.log() - q.log())).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for found, wanted in zip(student.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_what_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(
        'amkd_mm.benchmarking.other_toolboxes.find_spec', lambda name: name == 'mdistiller' or None
    )
    assert list(available()) == ['bare PyTorch', 'mdistiller']
