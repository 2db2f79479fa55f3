"""PGDAccuracy: a closed form of linear classifiers, and real evaluations."""

import copy

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import METRICS, MODELS
from mmpretrain.structures import DataSample
from torch import nn

from amkd_mm.algorithms import AMKD
from labelled_images import LabelledImages, predictions, random_images
from networks import classifier
from runners import quiet_runner

MEAN, STD = 128.0, 64.0
SIZE = 4


class Linear(nn.Module):
    """A linear classifier of gray images and two classes, asked as those of MMPretrain are."""

    def __init__(self, normal, offset):
        super().__init__()
        self.normal, self.offset = nn.Parameter(normal), offset
        self.data_preprocessor = ClsDataPreprocessor(mean=[MEAN], std=[STD], to_rgb=False)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        margins = inputs.flatten(1) @ self.normal + self.offset
        return torch.stack([margins, -margins], 1)


def evaluate(model, images, labels, batch_size=7, twice=False, **options):
    metric = METRICS.build(dict(_scope_='mmpretrain', type='PGDAccuracy', **options))
    evaluator = Evaluator(metric)
    found = []
    for _ in range(1 + twice):
        metric.receive_algorithm(model.eval(), len(images))
        for part, labels_part in zip(
            images.split(batch_size), labels.split(batch_size), strict=True
        ):
            samples = [DataSample().set_gt_label(label) for label in labels_part]
            with torch.no_grad():
                evaluator.process(samples, dict(inputs=list(part), data_samples=samples))
        found.append(evaluator.evaluate(len(images)))
    return found if twice else found[0]


@pytest.fixture
def linear():
    """A classifier, images far from black and white, labels, and their distances in pixels.

    The distance to a plane in the L-infinity norm is the margin by the L1 norm of the normal.
    """
    torch.manual_seed(0)
    model = Linear(torch.randn(SIZE * SIZE), torch.tensor(0.1))
    images = torch.randint(78, 179, (60, 1, SIZE, SIZE)).to(torch.uint8)
    points = (images.flatten(1).double() - MEAN) / STD
    margins = points @ model.normal.detach().double() + 0.1
    labels = (margins < 0).long()
    # The classifier gets some wrong: these are at a distance below 0.
    labels[::9] = 1 - labels[::9]
    signed = torch.where(labels == 0, margins, -margins)
    return model, images, labels, signed / model.normal.detach().abs().sum() * STD


@pytest.mark.parametrize('pixels', [1, 4, 12])
def test_closed_form_of_a_linear_classifier(linear, pixels):
    model, images, labels, distances = linear
    found = evaluate(model, images, labels, radius=pixels / 255, step_size=pixels / 510)
    assert found == {
        'pgd/accuracy': pytest.approx(100 * (distances > pixels).double().mean().item()),
        'pgd/clean': pytest.approx(100 * (distances > 0).double().mean().item()),
        'pgd/images': 60,
    }
    assert 0 < found['pgd/accuracy'] < found['pgd/clean'] < 100


def test_the_attack_begins_at_random_places_of_the_ball(linear):
    """Of which so short a step does not lead away."""
    model, images, labels, _ = linear
    found = evaluate(model, images, labels, 60, radius=25 / 255, step_size=1e-6, num_steps=1)
    draws = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    starts = (images.float() + (2 * draws - 1) * 25 - MEAN) / STD
    with torch.no_grad():
        right, moved = (
            (model(points).argmax(1) == labels).float().mean().item()
            for points in ((images.float() - MEAN) / STD, starts)
        )
    assert found['pgd/accuracy'] == pytest.approx(100 * moved) != pytest.approx(100 * right)


def test_each_evaluation_has_the_same_images_and_starts(linear):
    model, images, labels, _ = linear
    options = dict(radius=12 / 255, step_size=1e-6, num_steps=1, num_samples=25)
    first, second = evaluate(model, images, labels, twice=True, **options)
    assert first == second and first['pgd/images'] == 25
    assert 0 < first['pgd/accuracy'] < 100


def test_neither_gradients_nor_random_numbers_are_left(linear):
    model, images, labels, _ = linear
    random = torch.get_rng_state()
    evaluate(model, images, labels, num_steps=1)
    assert model.normal.grad is None and torch.equal(random, torch.get_rng_state())


def test_no_images(linear):
    metric = METRICS.build(dict(_scope_='mmpretrain', type='PGDAccuracy'))
    metric.receive_algorithm(linear[0], 0)
    assert metric.evaluate(0) == {'pgd/images': 0}


@pytest.mark.parametrize(
    ('argument', 'value', 'error'),
    [
        ('radius', 0, ValueError),
        ('step_size', '2', TypeError),
        ('num_steps', 0, ValueError),
        ('num_samples', 0, ValueError),
    ],
)
def test_arguments(argument, value, error):
    with pytest.raises(error, match=f'PGDAccuracy: {argument}'):
        METRICS.build(dict(_scope_='mmpretrain', type='PGDAccuracy', **{argument: value}))


# --- In a Runner ------------------------------------------------------------------------------


PREPROCESSOR = dict(
    type='mmpretrain.ClsDataPreprocessor',
    mean=[120.0, 110.0, 100.0],
    std=[50.0, 60.0, 70.0],
    to_rgb=True,
)
METRIC = dict(type='PGDAccuracy', radius=16 / 255, num_steps=3)


def network(seed):
    torch.manual_seed(seed)
    model = MODELS.build(dict(classifier(), data_preprocessor=PREPROCESSOR))
    nn.init.normal_(model.head.fc.weight)
    model._is_init = True
    return model


@pytest.fixture
def distillation():
    model = AMKD(
        distiller=dict(_scope_='mmrazor', type='ConfigurableDistiller'),
        teacher=network(0),
        architecture=network(1),
        data_preprocessor=PREPROCESSOR,
    )
    model._is_init = True
    return model


class Keep(Hook):
    """Keeps the metrics of a validation, which MMRazor's loop does not return."""

    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics


def build_runner(folder, model, evaluator, val_loop=None):
    folder.mkdir(exist_ok=True)
    images, student = random_images(24, seed=3), getattr(model, 'student', model)
    labels = predictions(student, images, model.data_preprocessor)
    labels[:6] = [(label + 1) % 4 for label in labels[:6]]
    loader = dict(
        batch_size=5,
        num_workers=0,
        dataset=LabelledImages(images, labels),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    return quiet_runner(
        folder,
        model=model,
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        val_dataloader=loader,
        val_evaluator=evaluator,
        val_cfg=dict(type=val_loop) if val_loop else dict(),
        test_dataloader=loader,
        test_evaluator=evaluator,
        test_cfg=dict(),
        custom_hooks=[dict(type='mmrazor.MetricAlgorithmHook')],
    )


def test_of_a_classifier_alone_and_of_a_student(distillation, tmp_path):
    """The student of a distillation is attacked as it would be alone, in validation and test."""
    alone = build_runner(tmp_path / 'alone', copy.deepcopy(distillation.student), METRIC).test()
    runner = build_runner(
        tmp_path / 'pair', distillation, METRIC, 'mmrazor.SingleTeacherDistillValLoop'
    )
    keep = Keep()
    runner.register_hook(keep, priority='LOWEST')
    runner.val()
    assert alone == runner.test() == keep.metrics
    assert alone['pgd/clean'] == 75 and alone['pgd/accuracy'] < 75


def test_two_radii(distillation, tmp_path):
    wide = dict(METRIC, radius=64 / 255, step_size=16 / 255, prefix='wide')
    found = build_runner(tmp_path, distillation, [METRIC, wide]).test()
    assert found['wide/accuracy'] < found['pgd/accuracy'] and found['wide/clean'] == 75


def test_the_training_is_the_same_with_and_without(distillation, tmp_path):
    weights = []
    for name, evaluator in (('with', [METRIC]), ('without', [dict(type='Accuracy')])):
        runner = build_runner(tmp_path / name, copy.deepcopy(distillation), evaluator)
        runner.train()
        weights.append({k: v.numpy() for k, v in runner.model.state_dict().items()})
    assert all(np.array_equal(weights[0][key], weights[1][key]) for key in weights[0])
