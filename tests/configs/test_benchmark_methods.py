"""Of methods of CRD's and mdistiller's tables: what their configs record, weigh and schedule."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from mmrazor.registry import HOOKS, MODELS

from given_samples import step_with_samples

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
LABELS = [0, 3, 1, 0, 2, 1, 4, 2]
# As published, for ResNet56 and ResNet20 on CIFAR-100.
WEIGHTS = dict(
    sp=dict(loss_sp=3000),
    pkt=dict(loss_pkt=30000),
    nst=dict(loss_stage1=50, loss_stage2=50, loss_stage3=50),
    vid=dict(loss_stage1=1, loss_stage2=1, loss_stage3=1),
    review_kd=dict(loss_review=0.6),
    ctkd=dict(loss_cls=0.1, loss_ctkd=0.9),
    mlkd=dict(loss_cls=0.1, loss_kl=0.45, loss_augmented_cls=0.1, loss_augmented=0.9),
)


def load(method, data):
    (path,) = (CONFIGS / method).glob(f'*_{data}.py')
    cfg = Config.fromfile(path)
    cfg.model.teacher_ckpt = None
    return cfg


@pytest.fixture
def run():
    """Make a step of a method on Digits; with copies of the images where it wants some."""

    def step(method):
        init_default_scope('mmpretrain')
        cfg = load(method, 'digits')
        torch.manual_seed(0)
        model = MODELS.build(cfg.model).train()
        inputs = torch.randn(8, 3, 8, 8)
        samples = [DataSample().set_gt_label(label) for label in LABELS]
        if cfg.model.type == 'AMKD':
            return model, step_with_samples(model, inputs, samples, num_clean=4)
        return model, model.loss(inputs, samples)

    return step


def record(model, side, name, index=0):
    return getattr(model.distiller, f'{side}_recorders').get_recorder(name).get_record_data(index)


def logits_of(model, index=0):
    return [record(model, side, 'logits', index) for side in ('student', 'teacher')]


@pytest.mark.parametrize('method', WEIGHTS)
@pytest.mark.parametrize('data', ['digits', 'cifar100'])
def test_published_weights(method, data):
    init_default_scope('mmpretrain')
    losses = MODELS.build(load(method, data).model).distiller.distill_losses
    assert {name: loss.loss_weight for name, loss in losses.items()} == WEIGHTS[method]


def test_learning_rates():
    """MLKD's, whose batches have twice as many images, is half of the others'."""
    for method in WEIGHTS:
        rate = 0.025 if method == 'mlkd' else 0.05
        assert load(method, 'cifar100').optim_wrapper.optimizer.lr == rate


@pytest.mark.parametrize(
    ('method', 'hook', 'attribute', 'expected'),
    [
        ('review_kd', 'review_weight', 'loss_weight', lambda epoch: 0.6 * min(epoch / 20, 1)),
        (
            'ctkd',
            'ctkd_reversal',
            'reversal',
            lambda epoch: (1 - math.cos(math.pi * min(epoch, 10) / 10)) / 2,
        ),
    ],
)
def test_published_schedules(method, hook, attribute, expected):
    schedule = HOOKS.build(load(method, 'cifar100').default_hooks[hook])
    assert schedule.attribute == attribute
    for epoch in (0, 1, 5, 10, 19, 20, 100, 239):
        assert schedule.weight(epoch, 240) == pytest.approx(expected(epoch))


@pytest.mark.parametrize('data', ['digits', 'cifar100'])
def test_stages_of_review_kd(data):
    """Of the student after the last activation, of the teacher before, and both embeddings."""
    init_default_scope('mmpretrain')
    model = MODELS.build(load('review_kd', data).model).train()
    found = dict(student=[], teacher=[])
    for side, seen in found.items():
        backbone = getattr(model, side).backbone
        for name in ('layer1', 'layer2', 'layer3'):
            backbone.get_submodule(name).register_forward_hook(
                lambda module, inputs, output, seen=seen: seen.append(output)
            )
    model.loss(torch.randn(2, 3, 8, 8), [DataSample().set_gt_label(label) for label in (0, 1)])
    for side, seen in found.items():
        *maps, embedding = record(model, side, 'stages')
        for place, output in zip(maps, seen, strict=True):
            assert (place.min() < 0) == (side == 'teacher')
            torch.testing.assert_close(place.relu(), output)
        torch.testing.assert_close(embedding, output.mean((2, 3)))


def test_losses_of_ctkd(run):
    """Nothing beside them: the cross entropy has its weight there."""
    model, losses = run('ctkd')
    assert {name for name in losses if 'loss' in name} == {'distill.loss_cls', 'distill.loss_ctkd'}
    student, teacher = logits_of(model)
    expected = 0.1 * F.cross_entropy(student, torch.tensor(LABELS))
    torch.testing.assert_close(losses['distill.loss_cls'], expected)
    tau = 1 + 20 / (1 + math.exp(-1))
    divergence = F.kl_div(
        (student / tau).log_softmax(1), (teacher / tau).softmax(1), reduction='batchmean'
    )
    torch.testing.assert_close(losses['distill.loss_ctkd'], 0.9 * tau**2 * divergence)


def test_the_temperature_of_ctkd_is_trained_and_no_part_of_the_student(run):
    model, losses = run('ctkd')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    theta = model.distiller.distill_losses['loss_ctkd'].theta
    assert theta.grad.abs() > 0
    assert any(parameter is theta for parameter in model.parameters())
    assert not any(parameter is theta for parameter in model.student.parameters())


def test_each_token_of_deit_learns_from_its_own():
    """The class token from the labels, the distillation token from the teacher's decisions."""
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(load('deit', 'digits').model).train()
    for name in ('head', 'head_dist'):
        torch.nn.init.normal_(model.student.head.layers.get_submodule(name).weight)
    inputs = torch.randn(8, 3, 8, 8)
    losses = model.loss(inputs, [DataSample().set_gt_label(label) for label in LABELS])
    assert {name for name in losses if 'loss' in name} == {'distill.loss_cls', 'distill.loss_dist'}
    ((cls, dist),) = model.student.backbone(inputs)
    layers = model.student.head.layers
    decided = model.teacher(inputs, mode='tensor').argmax(1)
    for name, scores, labels in (
        ('cls', layers.head(cls), torch.tensor(LABELS)),
        ('dist', layers.head_dist(dist), decided),
    ):
        expected = F.cross_entropy(scores, labels) / 2
        torch.testing.assert_close(losses[f'distill.loss_{name}'], expected)


def test_losses_of_mlkd(run):
    """All levels of the images, divergences alone of the copies, cross entropies of both."""
    model, losses = run('mlkd')
    names = {f'distill.{name}' for name in WEIGHTS['mlkd']}
    assert {name for name in losses if 'loss' in name} == names
    expected = dict(loss_kl=0.0, loss_augmented=0.0)
    for name, index, factor in (('loss_kl', 0, 0.45), ('loss_augmented', 1, 0.9)):
        student, teacher = logits_of(model, index)
        assert len(student) == 4
        for tau in (2, 3, 4, 5, 6):
            q, p = (student / tau).softmax(1), (teacher / tau).softmax(1)
            level = tau**2 * (p * (p / q).log()).sum(1).mean()
            if index == 0:
                level += (q @ q.t() - p @ p.t()).square().sum() / 4
                level += (q.t() @ q - p.t() @ p).square().sum() / 10
            expected[name] += factor * level
        cls = losses[f'distill.{name}_cls' if index else 'distill.loss_cls']
        # The copies given have the labels of their images.
        labels = torch.tensor(LABELS[:4])
        torch.testing.assert_close(cls, 0.1 * F.cross_entropy(student, labels))
    for name, value in expected.items():
        torch.testing.assert_close(losses[f'distill.{name}'], value)
