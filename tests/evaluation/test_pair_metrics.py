"""BoundarySimilarity and Agreement: closed forms of linear classifiers, and real evaluations."""

import copy
import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmpretrain.models import ClsDataPreprocessor, ImageClassifier
from mmpretrain.registry import METRICS
from mmpretrain.structures import DataSample
from torch import nn

from amkd_mm.algorithms import AMKD
from amkd_mm.attacks import BoundarySearch
from amkd_mm.classifiers import to_logits
from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.evaluation import sparing_metric
from labelled_images import LabelledImages, predictions, random_images
from runners import quiet_runner

MEAN, STD = 128.0, 64.0
SIZE = 4
# Ends as good as on the boundary, as the closed forms assume.
EXACT = dict(type='BoundarySearch', tolerance=1e-4)


class Linear(nn.Module):
    """A linear classifier of gray images, asked as those of MMPretrain are."""

    def __init__(self, weights, biases):
        super().__init__()
        self.weights = nn.Parameter(torch.as_tensor(weights, dtype=torch.float32))
        self.biases = nn.Parameter(torch.as_tensor(biases, dtype=torch.float32))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return inputs.flatten(1) @ self.weights.T + self.biases


class Pair(nn.Module):
    """All that a metric needs of an algorithm."""

    def __init__(self, teacher, student):
        super().__init__()
        self.teacher, self.student = teacher, student
        self.data_preprocessor = ClsDataPreprocessor(mean=[MEAN], std=[STD], to_rgb=False)


def images_of(number, seed=0):
    """Gray images far from black and white, so that no perturbation is cut off."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(108, 149, (number, 1, SIZE, SIZE), generator=generator).to(torch.uint8)


def hyperplane(seed):
    """Normal and offset of the boundary of two classes: class 0 where x n + c > 0."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(SIZE * SIZE, generator=generator)
    return normal / normal.norm() * 3, torch.randn((), generator=generator) * 0.2


def two_classes(normal, offset):
    return Linear(torch.stack([normal, -normal]) / 2, torch.stack([offset, -offset]) / 2)


def evaluate(kind, pair, images, labels, batch_size=7, twice=False, **options):
    """A metric's results, as an evaluation in batches gets them."""
    metric = METRICS.build(dict(_scope_='mmpretrain', type=kind, **options))
    evaluator = Evaluator(metric)
    found = []
    for _ in range(1 + twice):
        metric.receive_algorithm(pair.eval(), len(images))
        for images_part, labels_part in zip(
            torch.as_tensor(images).split(batch_size), labels.split(batch_size), strict=True
        ):
            samples = [DataSample().set_gt_label(label) for label in labels_part]
            batch = dict(inputs=list(images_part), data_samples=samples)
            with torch.no_grad():
                evaluator.process(samples, batch)
        found.append(evaluator.evaluate(len(images)))
    return found if twice else found[0]


def closed_form(images, planes):
    """Per image: is it of one class for both planes, ratio of its distances to them, cosine."""
    points = (images.numpy().reshape(len(images), -1).astype(float) - MEAN) / STD
    margins = np.stack([points @ normal.numpy() + offset.item() for normal, offset in planes])
    lengths = np.abs(margins) / np.array([[normal.norm().item()] for normal, _ in planes])
    alike = (margins[0] > 0) == (margins[1] > 0)
    (first, _), (second, _) = planes
    cosine = torch.dot(first, second) / first.norm() / second.norm()
    # From the same side to the same other side
    return alike, lengths.min(0) / lengths.max(0), cosine.item(), margins[0] < 0


def test_closed_form_of_two_linear_classifiers():
    planes = [hyperplane(1), hyperplane(2)]
    images = images_of(40)
    alike, ratios, cosine, labels = closed_form(images, planes)
    assert 10 < alike.sum() < 40 and abs(cosine) < 0.9
    pair = Pair(*(two_classes(*plane) for plane in planes))
    found = evaluate(
        'BoundarySimilarity', pair, images, torch.tensor(labels.astype(int)), attack=EXACT
    )
    assert found == {
        'boundary_similarity/mag_sim': pytest.approx(ratios[alike].mean(), abs=2e-3),
        'boundary_similarity/ang_sim': pytest.approx(cosine, abs=1e-4),
        'boundary_similarity/images': alike.sum(),
    }


def test_of_parallel_boundaries_only_the_distance_differs():
    normal, _ = hyperplane(1)
    # Both far on one side of all images, at distances of 1 and 3 from the image of the means.
    planes = [(normal, 1 * normal.norm()), (normal, 3 * normal.norm())]
    images = torch.full((5, 1, SIZE, SIZE), int(MEAN), dtype=torch.uint8)
    pair = Pair(*(two_classes(*plane) for plane in planes))
    found = evaluate(
        'BoundarySimilarity', pair, images, torch.zeros(5, dtype=torch.long), attack=EXACT
    )
    assert found['boundary_similarity/mag_sim'] == pytest.approx(1 / 3, rel=1e-3)
    assert found['boundary_similarity/ang_sim'] == pytest.approx(1)


@pytest.mark.parametrize('attack', [None, dict(type='BSSAttack', num_steps=20)])
def test_a_copy_has_the_same_boundary(attack):
    plane = hyperplane(1)
    images = images_of(20)
    labels = torch.tensor(closed_form(images, [plane, plane])[3].astype(int))
    pair = Pair(two_classes(*plane), two_classes(*plane))
    found = evaluate('BoundarySimilarity', pair, images, labels, attack=attack)
    assert found == {
        'boundary_similarity/mag_sim': pytest.approx(1),
        'boundary_similarity/ang_sim': pytest.approx(1),
        'boundary_similarity/images': 20,
    }
    assert evaluate('Agreement', pair, images, labels, attack=attack) == {
        'agreement/clean': 100,
        'agreement/boundary': 100,
        'agreement/boundary_images': 20,
    }


def test_agreement_of_two_linear_classifiers():
    planes = [hyperplane(1), hyperplane(2)]
    images = images_of(40)
    alike, _, _, labels = closed_form(images, planes)
    labels = torch.tensor(labels.astype(int))
    labels[:4] = 1 - labels[:4]  # What the teacher gets wrong is not moved.
    found = evaluate(
        'Agreement', Pair(*(two_classes(*plane) for plane in planes)), images, labels, attack=EXACT
    )
    assert found['agreement/clean'] == pytest.approx(100 * alike.mean())
    assert found['agreement/boundary_images'] == 36
    # Onto the teacher's plane, and a little beyond it, along its normal.
    points = (images.flatten(1).double() - MEAN) / STD
    (normal, offset), (other, other_offset) = [(n.double(), c.double()) for n, c in planes]
    margins = points @ normal + offset
    ends = points - (1 + 1e-6) * (margins / normal.dot(normal))[:, None] * normal
    same = ((ends @ other + other_offset) > 0) == (margins < 0)
    assert 0 < same[4:].sum() < 36
    assert found['agreement/boundary'] == pytest.approx(100 * same[4:].double().mean().item())


def test_the_drawn_images_are_the_same_in_every_evaluation_and_batch_size():
    planes = [hyperplane(1), hyperplane(2)]
    images = images_of(40)
    labels = torch.tensor(closed_form(images, planes)[3].astype(int))
    pair = Pair(*(two_classes(*plane) for plane in planes))
    first, second = evaluate(
        'Agreement', pair, images, labels, num_samples=13, attack=EXACT, twice=True
    )
    assert first == second
    assert first == evaluate(
        'Agreement', pair, images, labels, num_samples=13, attack=EXACT, batch_size=40
    )
    assert first['agreement/boundary_images'] == 13
    # Not just the first images, which are often of one class.
    labels[20:] = 1 - labels[20:]
    moved = evaluate('Agreement', pair, images, labels, num_samples=13, attack=EXACT)
    assert 3 < moved['agreement/boundary_images'] < 10


def test_images_that_cannot_be_moved_are_not_counted():
    """A network that is the same everywhere has no boundary, and no gradient."""
    constant = Linear(torch.zeros(2, SIZE * SIZE), torch.tensor([1.0, 0.0]))
    pair, images, labels = Pair(constant, constant), images_of(5), torch.zeros(5).long()
    assert evaluate('BoundarySimilarity', pair, images, labels) == {'boundary_similarity/images': 0}
    assert evaluate('Agreement', pair, images, labels) == {
        'agreement/clean': 100,
        'agreement/boundary_images': 0,
    }


@pytest.mark.parametrize('kind', ['BoundarySimilarity', 'Agreement'])
def test_no_images(kind):
    pair = Pair(two_classes(*hyperplane(1)), two_classes(*hyperplane(2)))
    metric = METRICS.build(dict(_scope_='mmpretrain', type=kind))
    metric.receive_algorithm(pair, 0)
    found = metric.evaluate(0)
    assert list(found.values()) == [0]
    assert not any(math.isnan(value) for value in found.values())


def test_warnings_say_why(monkeypatch):
    said = []
    for module in ('boundary_similarity', 'agreement'):
        monkeypatch.setattr(
            f'amkd_mm.evaluation.{module}.print_log', lambda text, **_: said.append(text)
        )
    constant = Linear(torch.zeros(2, SIZE * SIZE), torch.tensor([1.0, 0.0]))
    for kind in ('BoundarySimilarity', 'Agreement'):
        evaluate(kind, Pair(constant, constant), images_of(2), torch.zeros(2).long())
    assert ['moved' in text and text.split(':')[0] for text in said] == [
        'BoundarySimilarity',
        'Agreement',
    ]


def test_neither_gradients_nor_modes_nor_weights_change():
    pair = Pair(two_classes(*hyperplane(1)), two_classes(*hyperplane(2)))
    before = copy.deepcopy(pair.state_dict())
    random = torch.get_rng_state()
    evaluate('BoundarySimilarity', pair, images_of(9), torch.zeros(9).long())
    assert all(parameter.grad is None for parameter in pair.parameters())
    assert all(torch.equal(before[key], value) for key, value in pair.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())


# --- In a Runner ------------------------------------------------------------------------------


def classifier(seed, depth=8, **kwargs):
    torch.manual_seed(seed)
    model = ImageClassifier(
        backbone=dict(_scope_='mmpretrain', type='CifarResNet', depth=depth, **kwargs),
        neck=dict(_scope_='mmpretrain', type='GlobalAveragePooling'),
        head=dict(_scope_='mmpretrain', type='LinearClsHead', num_classes=3, in_channels=64),
    )
    nn.init.normal_(model.head.fc.weight, std=1.0)
    model._is_init = True
    return model


def build_runner(folder, model, evaluator, hooks=None, val_loop='SingleTeacherDistillValLoop'):
    images, teacher = random_images(24, seed=3), getattr(model, 'teacher', model)
    data = LabelledImages(images, predictions(teacher, images, model.data_preprocessor))
    loader = dict(
        batch_size=5,
        num_workers=0,
        dataset=data,
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
        val_cfg=dict(type=f'mmrazor.{val_loop}'),
        test_dataloader=loader,
        test_evaluator=evaluator,
        test_cfg=dict(),
        custom_hooks=[dict(type='mmrazor.MetricAlgorithmHook')] if hooks is None else hooks,
    )


def make_amkd(**student):
    return AMKD(
        distiller=dict(_scope_='mmrazor', type='ConfigurableDistiller'),
        teacher=classifier(0),
        architecture=classifier(1, **student),
        data_preprocessor=dict(
            _scope_='mmpretrain',
            type='ClsDataPreprocessor',
            mean=[128.0] * 3,
            std=[64.0] * 3,
            to_rgb=False,
        ),
    )


class Keep(Hook):
    """Keeps the metrics of a validation, which MMRazor's loop does not return."""

    def __init__(self, metrics):
        self.metrics = metrics

    def after_val_epoch(self, runner, metrics=None):
        self.metrics.update(metrics)


ALL = [dict(type='Accuracy'), dict(type='ExpectedCalibrationError'), dict(type='Agreement')]
ALL.append(dict(type='BoundarySimilarity'))


def one_by_one(model, data):
    """Both similarities of every image, each moved on its own."""
    normalizer = Normalizer(model.data_preprocessor)
    pairs = []
    model.eval()
    for image, label in zip(data.images, data.labels, strict=True):
        start, ends = normalizer.normalize(image[None]), []
        networks = [
            lambda inputs, one=one: to_logits(one(inputs, mode='tensor'))
            for one in (model.teacher, model.student)
        ]
        with torch.no_grad():
            answers = [network(start)[0] for network in networks]
        if any(answer.argmax() != label for answer in answers):
            continue
        target = answers[0].argsort(descending=True)[1]
        for network in networks:
            end = BoundarySearch()(
                network, start, torch.tensor([label]), target[None], normalizer.bounds
            )
            ends.append((end.inputs - start).flatten() if end.reached[0] else None)
        if all(end is not None for end in ends):
            lengths = [end.norm().item() for end in ends]
            cosine = (ends[0] @ ends[1]).item() / lengths[0] / lengths[1]
            pairs.append((min(lengths) / max(lengths), cosine))
    return np.array(pairs)


def test_in_the_validation_and_the_test_of_a_runner(tmp_path):
    model = make_amkd()
    runner = build_runner(tmp_path, model, ALL)
    validated = {}
    runner.register_hook(Keep(validated), priority='LOWEST')
    runner.val()
    tested = runner.test()

    expected = one_by_one(model, runner.val_dataloader.dataset)
    assert len(expected) >= 5
    for found in (validated, tested):
        assert found['boundary_similarity/images'] == len(expected)
        mag_sim, ang_sim = expected.mean(0)
        assert found['boundary_similarity/mag_sim'] == pytest.approx(mag_sim, rel=1e-3)
        assert found['boundary_similarity/ang_sim'] == pytest.approx(ang_sim, rel=1e-3)
        # The teacher made the labels.
        assert found['agreement/clean'] == pytest.approx(found['accuracy/top1'])
        assert found['agreement/boundary_images'] == 24
    # Of the teacher alone there is an accuracy and a calibration, but no comparison.
    of_teacher = [name for name in validated if name.startswith('teacher.')]
    assert 'teacher.calibration/ece' in of_teacher and 'teacher.accuracy/top1' in of_teacher
    assert not any('boundary' in name or 'agreement' in name for name in of_teacher)


def test_the_training_is_the_same_with_and_without_metrics(tmp_path):
    weights = []
    for name, evaluator in (('with', ALL), ('without', ALL[:1])):
        (tmp_path / name).mkdir()
        runner = build_runner(tmp_path / name, make_amkd(), evaluator)
        runner.train()
        weights.append(copy.deepcopy(runner.model.state_dict()))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_student_with_activation_checkpointing(tmp_path):
    """Its checkpointing does not give input gradients, and is as before afterwards."""
    found = []
    for with_cp in (False, True):
        model = make_amkd()
        torch.manual_seed(1)
        backbone = dict(type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8)
        model.architecture = ImageClassifier(
            backbone=dict(_scope_='mmpretrain', with_cp=with_cp, **backbone),
            neck=dict(_scope_='mmpretrain', type='GlobalAveragePooling'),
            head=dict(_scope_='mmpretrain', type='LinearClsHead', num_classes=3, in_channels=64),
        )
        model.architecture._is_init = True
        folder = tmp_path / str(with_cp)
        folder.mkdir()
        found.append(build_runner(folder, model, ALL[3:]).test())
        flags = [m.with_cp for m in model.student.modules() if hasattr(m, 'with_cp')]
        assert with_cp == any(flags)
    assert found[0]['boundary_similarity/images'] > 0
    assert found[0] == pytest.approx(found[1])


@pytest.mark.parametrize('broken', ['BoundarySimilarity', 'ExpectedCalibrationError'])
def test_a_metric_that_fails_ends_no_training_but_a_test(broken, tmp_path, monkeypatch):
    kind = METRICS.get(f'mmpretrain.{broken}')
    method = 'compare' if broken == 'BoundarySimilarity' else 'judge'
    upstream, calls = getattr(kind, method), []

    def fail_first(self, *args):
        calls.append(args)
        if len(calls) % 5 == 1:
            raise RuntimeError('out of memory')
        return upstream(self, *args) if method == 'compare' else upstream(*args)

    said = []
    monkeypatch.setattr(kind, method, fail_first)
    monkeypatch.setattr(sparing_metric, 'print_log', lambda text, **_: said.append(text))
    runner = build_runner(tmp_path, make_amkd(), [dict(type='Accuracy'), dict(type=broken)])
    found = {}
    runner.register_hook(Keep(found), priority='LOWEST')
    runner.train()
    assert runner.epoch == 2 and 'accuracy/top1' in found
    # The other images are measured.
    name = 'boundary_similarity/mag_sim' if method == 'compare' else 'calibration/ece'
    assert name in found
    assert said == [
        f'{broken} leaves out images, because it failed on some: RuntimeError: out of memory'
    ]
    calls.clear()
    with pytest.raises(RuntimeError, match='out of memory'):
        runner.test()
    calls.clear()
    with pytest.raises(RuntimeError, match='out of memory'):
        runner.val()


@pytest.mark.parametrize('kind', ['BoundarySimilarity', 'Agreement'])
def test_without_a_teacher_it_is_refused_before_the_training(kind, tmp_path):
    model = classifier(0)
    runner = build_runner(tmp_path, model, dict(type=kind), val_loop='ValLoop')
    with pytest.raises(TypeError, match=f'{kind} compares a student with its teacher, but Image'):
        runner.train()
    with pytest.raises(TypeError, match=kind):
        runner.test()


def test_without_the_hook_it_says_what_to_add(tmp_path):
    runner = build_runner(tmp_path, make_amkd(), dict(type='Agreement'), hooks=[])
    with pytest.raises(TypeError, match=r"dict\(type='mmrazor.MetricAlgorithmHook'\)"):
        runner.test()


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(num_samples=0), ValueError, 'Agreement: num_samples must be >= 1, not 0'),
        (dict(attack=dict(type='Nothing')), KeyError, 'registered are'),
    ],
)
def test_arguments_out_of_range(options, error, message):
    with pytest.raises(error, match=message):
        METRICS.build(dict(_scope_='mmpretrain', type='Agreement', **options))
