"""DML and FFCL: two untrained networks that teach each other."""

from pathlib import Path

import amkd_mm  # noqa: F401
from amkd_mm import compat

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch import nn

from amkd_mm.attacks import build_attack
from amkd_mm.attacks.targets import TARGET_CHOOSERS
from amkd_mm.samplers import BoundarySampler, SampleRequest

compat.apply()

ROOT = Path(__file__).resolve().parents[2]
METHODS = ['dml', 'ffcl']
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def load(method, folder=None):
    (path,) = (ROOT / 'configs' / (folder or method)).glob(f'{method}_*_digits.py')
    return Config.fromfile(path)


def build(method, folder=None, exchanged=False):
    """The Digits pair of a method, in training, and what its losses say of a batch."""
    cfg = load(method, folder)
    if exchanged:
        cfg.model.architecture, cfg.model.teacher = cfg.model.teacher, cfg.model.architecture
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).double()
    model.train()
    for network in (model.student, model.teacher):
        # An untrained network is sure of nothing.
        nn.init.normal_(network.head.fc.weight)
    return model


def step(model):
    inputs = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    samples = [DataSample().set_gt_label(int(label)) for label in LABELS]
    return model.loss(inputs, samples)


def record(model, side, name, index=0):
    recorders = getattr(model.distiller, f'{side}_recorders')
    return recorders.get_recorder(name).get_record_data(index)


def divergence(taught, teaching, tau):
    """Times the square of the temperature, by a loop."""
    total = 0
    for one, other in zip(taught.detach().numpy(), teaching.detach().numpy(), strict=True):
        p, q = (np.exp(row / tau) / np.exp(row / tau).sum() for row in (other, one))
        total += (p * np.log(p / q)).sum()
    return tau**2 * total / len(taught)


def reached(model, loss):
    """Which of the three parts a loss trains."""
    parts = dict(student=model.student, teacher=model.teacher, distiller=model.distiller)
    found = set()
    for name, part in parts.items():
        grads = (
            torch.autograd.grad(loss, list(part.parameters()), retain_graph=True, allow_unused=True)
            if list(part.parameters())
            else ()
        )
        if any(grad is not None and grad.abs().sum() > 0 for grad in grads):
            found.add(name)
    return found


@pytest.mark.parametrize('method', METHODS)
def test_each_network_learns_labels_and_answers_of_the_other(method):
    model = build(method)
    losses = step(model)
    student, teacher = (record(model, side, 'logits') for side in ('student', 'teacher'))
    expected = {
        'student.loss': F.cross_entropy(student, LABELS).item(),
        'teacher.loss': F.cross_entropy(teacher, LABELS).item(),
        'distill.loss_kl': divergence(student, teacher, 1),
        'distill.loss_teacher_kl': divergence(teacher, student, 1),
    }
    for name, value in expected.items():
        assert value > 0
        assert losses[name].item() == pytest.approx(value, rel=1e-6)
        # A loss of the one is none of the other.
        assert reached(model, losses[name]) == {'teacher' if 'teacher' in name else 'student'}
    assert not model.teacher_is_folded
    for network in (model.student, model.teacher):
        assert all(module.training for module in network.modules())
    if method == 'dml':
        assert set(losses) == set(expected)


def test_ffcl_fuses_and_regularises():
    model = build('ffcl')
    losses = step(model)
    student, teacher = (record(model, side, 'logits') for side in ('student', 'teacher'))
    virtual = torch.full((6, 10), 0.01 / 9).scatter(1, LABELS[:, None], 0.99).log().double()
    for name, logits in (('loss_virtual', student), ('loss_teacher_virtual', teacher)):
        expected = 0.1 * divergence(logits, virtual, 20)
        assert losses[f'distill.{name}'].item() == pytest.approx(expected, rel=1e-5)
    assert reached(model, losses['distill.loss_virtual']) == {'student'}
    assert reached(model, losses['distill.loss_teacher_virtual']) == {'teacher'}

    fusion = model.distiller.distill_losses['loss_fusion']
    maps = [record(model, side, 'last') for side in ('student', 'teacher')]
    fused = fusion.classifier(fusion.fusion(torch.cat(maps, 1)).mean((2, 3)))
    expected = F.cross_entropy(fused, LABELS).item()
    expected += divergence(student, fused, 3) + divergence(teacher, fused, 3)
    assert losses['distill.loss_fusion'].item() == pytest.approx(expected, rel=1e-6)
    assert reached(model, losses['distill.loss_fusion']) == {'student', 'teacher', 'distiller'}


# --- Trainings ------------------------------------------------------------------------------------


def train(method, folder, **changes):
    cfg = load(method)
    cfg.merge_from_dict(
        {
            'work_dir': str(folder),
            'experiment_name': f'{method}_{folder.name}',
            'train_cfg.max_epochs': 2,
            'train_dataloader.dataset.indices': 64,
            'val_dataloader.dataset.indices': 32,
            'test_dataloader.dataset.indices': 32,
            'train_dataloader.batch_size': 32,
            'model.teacher.backbone.depth': 8,
            'param_scheduler': None,
            'default_hooks.logger.interval': 1,
            **changes,
        }
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.mark.parametrize('method', METHODS)
def test_a_resumed_training_equals_an_uninterrupted_one(method, tmp_path, recwarn):
    whole = train(method, tmp_path / 'whole')
    found = whole.message_hub.log_scalars
    for name in ('accuracy/top1', 'teacher.accuracy/top1'):
        assert len(found[f'val/{name}'].data[0]) == 2
    # Nobody expects an untrained network to know anything.
    assert not [each for each in recwarn if 'guessing' in str(each.message)]
    log = next((tmp_path / 'whole').glob('*/*.log')).read_text()
    assert 'Neither the config nor the checkpoint' not in log
    assert 'does not say which classes' not in log

    resumed = train(
        method,
        tmp_path / 'resumed',
        load_from=str(tmp_path / 'whole/epoch_1.pth'),
        resume=True,
    )
    state, other = (runner.model.state_dict() for runner in (whole, resumed))
    first = torch.load(tmp_path / 'whole/epoch_1.pth', weights_only=False)['state_dict']
    assert state.keys() == other.keys() == first.keys()
    for name, value in state.items():
        torch.testing.assert_close(other[name], value, rtol=0, atol=0, msg=name)
    # A test says of both what the last validation said.
    cfg = whole.cfg.copy()
    cfg.update(load_from=str(tmp_path / 'whole/epoch_2.pth'), work_dir=str(tmp_path / 'test'))
    cfg.experiment_name += '_test'
    tested = Runner.from_cfg(cfg).test()
    for name in ('accuracy/top1', 'teacher.accuracy/top1'):
        assert tested[name] == pytest.approx(found[f'val/{name}'].current())
    # Both networks, and the parts of the distiller, go on learning.
    parts = {name.partition('.')[0] for name in state if not torch.equal(state[name], first[name])}
    assert parts == {'architecture', 'teacher'} | ({'distiller'} if method == 'ffcl' else set())


# --- Boundary samples -----------------------------------------------------------------------------


def step_with_boundary_samples(model):
    """A step whose boundary samples are of images that the attacked network gets right."""
    sampler = BoundarySampler(
        build_attack(dict(type='BoundarySearch')), 1.0, TARGET_CHOOSERS['runner_up']
    )
    inputs = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    labels = answers(model.teacher, inputs).argmax(1)
    request = SampleRequest(0, (8, 8))
    model.samplers = [sampler]
    model.request_samples(sampler, request)
    samples = [DataSample().set_gt_label(int(label)) for label in labels]
    return model.loss(inputs, samples), request.samples


def answers(network, inputs):
    """In evaluation mode, and otherwise as it was."""
    network.eval()
    with torch.no_grad():
        found = network(inputs, mode='tensor')
    network.train()
    return found


@pytest.mark.parametrize('exchanged', [False, True], ids=['of_the_teacher', 'of_the_student'])
def test_boundary_samples_of_either_network(exchanged):
    """With the two networks exchanged, the boundary is that of the other."""
    model = build('amkd-dml', 'mixes', exchanged)
    depths = [network.backbone.depth for network in (model.student, model.teacher)]
    assert depths == ([26, 8] if exchanged else [8, 26])
    # The pass over the samples leaves the running statistics as they were in the attack.
    model.boundary_norm = 'batch'
    losses, samples = step_with_boundary_samples(model)
    assert len(samples.rows) > 2
    # To the network that is attacked, base and target class are the most probable ones, and about
    # as probable. To the other they are anything.
    gaps = []
    for network in (model.teacher, model.student):
        found = answers(network, samples.inputs).softmax(1)
        both = [found.gather(1, c[:, None]) for c in (samples.labels, samples.targets)]
        gaps.append((both[0] - both[1]).abs().mean().item())
    assert gaps[0] == pytest.approx(samples.statistics['probability_gap'].item(), rel=1e-6)
    assert gaps[0] < gaps[1] / 2
    best = answers(model.teacher, samples.inputs).topk(2).indices.sort(1).values
    crossed = torch.stack([samples.labels, samples.targets], 1).sort(1).values
    assert torch.equal(best, crossed)

    taught, teaching = (record(model, side, 'logits', 1) for side in ('student', 'teacher'))
    assert len(taught) == len(teaching) == len(samples.rows)
    expected = model.distiller.distill_losses['loss_boundary'].loss_weight
    expected *= divergence(taught, teaching, 3)
    assert losses['distill.loss_boundary'].item() == pytest.approx(expected, rel=1e-6)
    for name in ('loss_kl', 'loss_boundary'):
        assert reached(model, losses[f'distill.{name}']) == {'student'}
    # Its hinge may be open for none.
    assert reached(model, losses['distill.loss_triplet']) <= {'student'}
    assert reached(model, losses['distill.loss_teacher_kl']) == {'teacher'}


@pytest.mark.parametrize(('choice', 'updates'), [('update', 2), ('batch', 1), ('running', 1)])
def test_batch_norm_of_both_networks_treats_boundary_samples_alike(choice, updates):
    model = build('amkd-dml', 'mixes')
    model.boundary_norm = choice
    step_with_boundary_samples(model)
    for network in (model.student, model.teacher):
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        assert {int(norm.num_batches_tracked) for norm in norms} == {updates}
        assert all(norm.training and norm.track_running_stats for norm in norms)
