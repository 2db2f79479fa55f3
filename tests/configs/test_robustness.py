"""RSLAD and AdaAD: what their configs compare, and the published settings."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from mmrazor.registry import HOOKS, MODELS

from given_samples import step_with_samples

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
METHODS = {'rslad': 'clean', 'adaad': 'adversarial'}


def load(method, pair):
    (path,) = (CONFIGS / method).glob(f'{method}_{pair}.py')
    return Config.fromfile(path)


def divergence(student, teacher):
    return (teacher.softmax(1) * (teacher.log_softmax(1) - student.log_softmax(1))).sum(1).mean()


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize(
    ('pair', 'scale'),
    [('resnet26_resnet8_1xb64_digits', 1), ('resnet26_resnet8_1xb128_cifar10', 10)],
)
def test_losses(method, pair, scale):
    """No label is learned. The authors' divergences of CIFAR-10 are means over classes, too."""
    init_default_scope('mmpretrain')
    cfg = load(method, pair)
    cfg.model.teacher_ckpt = None
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    for network in (model.student, model.teacher):
        torch.nn.init.normal_(network.head.fc.weight)
    samples = [DataSample().set_gt_label(label) for label in (0, 3, 1, 0)]
    inputs = torch.randn(8, 3, 8, 8)
    losses = step_with_samples(model, inputs, samples, num_clean=4)
    (student, moved_student), (teacher, moved_teacher) = (
        [
            getattr(model.distiller, f'{side}_recorders').get_recorder('logits').get_record_data(i)
            for i in range(2)
        ]
        for side in ('student', 'teacher')
    )
    assert student.shape == moved_teacher.shape == (4, 10)
    expected = dict(loss_adversarial=divergence(moved_student, moved_teacher) / scale)
    if method == 'rslad':
        expected = dict(
            loss_kl=1 / 6 * divergence(student, teacher) / scale,
            loss_adversarial=5 / 6 * divergence(moved_student, teacher) / scale,
        )
    assert {name for name in losses if 'loss' in name} == {f'distill.{name}' for name in expected}
    for name, value in expected.items():
        torch.testing.assert_close(losses[f'distill.{name}'], value)


@pytest.mark.parametrize('method', METHODS)
def test_published_settings(method):
    cfg = load(method, 'resnet26_resnet8_1xb128_cifar10')
    sampler = HOOKS.build(cfg.default_hooks.adversarial_samples).sampler
    assert sampler.teacher_answers == METHODS[method]
    assert (sampler.radius, sampler.step_size, sampler.num_steps) == (8 / 255, 2 / 255, 10)
    decay, epochs, steps = dict(rslad=(2e-4, 300, [215, 260, 285]), adaad=(5e-4, 200, [100, 150]))[
        method
    ]
    assert cfg.optim_wrapper.optimizer.to_dict() == dict(
        type='SGD', lr=0.1, momentum=0.9, weight_decay=decay
    )
    assert cfg.train_cfg.max_epochs == epochs and cfg.param_scheduler.milestones == steps
    assert cfg.train_dataloader.batch_size == 128


@pytest.mark.parametrize('data', ['1xb64_digits', '1xb128_cifar10'])
def test_students_learn_from_a_robust_teacher(data):
    """Which has a config, and learns from the one of `configs/vanilla`."""
    robust = load('rslad', f'resnet26_resnet26_{data}')
    for method in METHODS:
        path = Path(load(method, f'resnet26_resnet8_{data}').model.teacher_ckpt)
        assert path.parent.name == f'rslad_resnet26_resnet26_{data}'
        assert path.stem == f'epoch_{robust.train_cfg.max_epochs}'
    assert robust.model.architecture == robust.model.teacher
    path = Path(robust.model.teacher_ckpt)
    alone = Config.fromfile(CONFIGS / 'vanilla' / f'{path.parent.name}.py')
    assert path.stem == f'epoch_{alone.train_cfg.max_epochs}'
