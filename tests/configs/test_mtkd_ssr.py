"""MTKD-SSR: channels and answers of the stages, and each stage's review by the next."""

from pathlib import Path

import amkd_mm  # noqa: F401
from amkd_mm import compat

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

from given_samples import step_with_samples

compat.apply()

ROOT = Path(__file__).resolve().parents[2]
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.fixture(scope='module')
def model():
    (path,) = (ROOT / 'configs/mtkd_ssr').glob('*_digits.py')
    cfg = Config.fromfile(path)
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    settings = dict(cfg.model, data_preprocessor=cfg.data_preprocessor, teacher_ckpt=None)
    model = MODELS.build(settings).double()
    model.train()
    for network in (model.student, model.teacher):
        torch.nn.init.normal_(network.head.fc.weight)
    return model


def batch(number):
    inputs = torch.randn(number, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    labels = LABELS.repeat(2)[:number]
    return inputs, [DataSample().set_gt_label(int(label)) for label in labels]


@pytest.fixture(scope='module')
def losses(model):
    return model.loss(*batch(6))


def record(model, side, name):
    return getattr(model.distiller, f'{side}_recorders').get_recorder(name).get_record_data()


def answer(model, side, stage):
    """Logits after a stage, those of the last being the network's."""
    if stage == 3:
        return record(model, side, 'logits')
    classifier = model.distiller.connectors[f'{side}{stage}']
    return classifier(record(model, side, f'stage{stage}'))[1]


def divergence(taught, teaching, tau=4):
    total = 0
    for one, other in zip(taught.detach().numpy(), teaching.detach().numpy(), strict=True):
        p, q = (np.exp(row / tau) / np.exp(row / tau).sum() for row in (other, one))
        total += (p * np.log(p / q)).sum()
    return tau**2 * total / len(taught)


def trained(model, loss):
    """Names of what a loss trains, as far as the connector or stage."""
    parameters = dict(model.named_parameters())
    grads = torch.autograd.grad(
        loss,
        [p for p in parameters.values() if p.requires_grad],
        retain_graph=True,
        allow_unused=True,
    )
    names = [name for name, p in parameters.items() if p.requires_grad]
    return {
        '.'.join(name.split('.')[1:3])
        for name, grad in zip(names, grads, strict=True)
        if grad is not None and grad.abs().sum() > 0
    }


STEM = {'backbone.conv1', 'backbone.bn1'}
STAGES = [STEM, *({f'backbone.layer{n}'} for n in (1, 2, 3))]


def up_to(stage):
    return set.union(*STAGES[: stage + 1])


@pytest.mark.parametrize('stage', [1, 2, 3])
def test_channels_are_distributions_over_places(model, losses, stage):
    student = model.distiller.connectors[f'align{stage}'](record(model, 'student', f'stage{stage}'))
    teacher = record(model, 'teacher', f'stage{stage}')
    assert student.shape == teacher.shape
    maps = [each.flatten(0, 1).flatten(1) for each in (student, teacher)]
    loss = losses[f'distill.loss_channels{stage}']
    expected = divergence(*maps)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert trained(model, loss) == up_to(stage) | {f'connectors.align{stage}'}


@pytest.mark.parametrize('stage', [1, 2])
def test_classifiers_learn_labels_and_the_students_those_of_the_teacher(model, losses, stage):
    student, teacher = (answer(model, side, stage) for side in ('student', 'teacher'))
    own = {side: f'connectors.{side}{stage}' for side in ('student', 'teacher')}
    for name, expected, reached in (
        ('label', F.cross_entropy(student, LABELS).item(), up_to(stage) | {own['student']}),
        # A frozen teacher is not changed by what is put on it.
        ('teacher_label', F.cross_entropy(teacher, LABELS).item(), {own['teacher']}),
        ('response', divergence(student, teacher), up_to(stage) | {own['student']}),
        (
            'review',
            divergence(student, answer(model, 'student', stage + 1)),
            up_to(stage) | {own['student']},
        ),
    ):
        loss = losses[f'distill.loss_{name}{stage}']
        assert expected > 0
        assert loss.item() == pytest.approx(expected, rel=1e-6), name
        assert trained(model, loss) == reached, name


def test_the_last_stage_answers_as_the_network(model, losses):
    expected = divergence(answer(model, 'student', 3), answer(model, 'teacher', 3))
    assert losses['distill.loss_kl'].item() == pytest.approx(expected, rel=1e-6)
    assert len(losses) == 1 + 1 + 3 + 4 * 2


def test_beside_amkd():
    """Every loss of AMKD and of MTKD-SSR in one real step, on clean and on boundary samples."""
    amkd, own = (
        Config.fromfile(ROOT / f'configs/_base_/distillers/{name}.py').model
        for name in ('amkd', 'mtkd_ssr_digits')
    )
    own.distiller.distill_losses.pop('loss_kl')
    own.distiller.loss_forward_mappings.pop('loss_kl')
    settings = Config(dict(model=amkd))
    settings.merge_from_dict(dict(model=dict(distiller=own.distiller.to_dict())))
    (path,) = (ROOT / 'configs/mtkd_ssr').glob('*_digits.py')
    cfg = Config.fromfile(path)
    mixed = dict(
        settings.model,
        architecture=cfg.model.architecture,
        teacher=cfg.model.teacher,
        data_preprocessor=cfg.data_preprocessor,
    )
    # The answers of the first stage count on boundary samples, too.
    for argument in mixed['distiller']['loss_forward_mappings']['loss_response1'].values():
        argument['record_idx'] = 1
    init_default_scope('mmpretrain')
    model = MODELS.build(mixed).double()
    model.train()
    inputs, samples = batch(9)
    losses = step_with_samples(model, inputs, samples, num_clean=6)
    wanted = {f'distill.{name}' for name in mixed['distiller']['distill_losses']}
    assert wanted <= set(losses) and len(wanted) == 3 + 11
    assert all(torch.isfinite(loss).all() for loss in losses.values())
    connector = model.distiller.connectors['student1']
    stage = model.distiller.student_recorders.get_recorder('stage1').get_record_data(1)
    taught = connector(stage)[1]
    stage = model.distiller.teacher_recorders.get_recorder('stage1').get_record_data(1)
    teaching = model.distiller.connectors['teacher1'](stage)[1]
    assert len(taught) == 3
    expected = divergence(taught, teaching)
    assert losses['distill.loss_response1'].item() == pytest.approx(expected, rel=1e-6)
