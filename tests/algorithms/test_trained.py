"""Distillations with the networks of a checkpoint."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmrazor.registry import MODELS

from amkd_mm.algorithms.trained import load_distillation
from amkd_mm.classifiers.activation_checkpointing import disable_checkpointing
from digit_distillation import CONFIG

# With activation checkpointing.
CHECKPOINTED = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4, with_cp=True),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=32),
)


@pytest.fixture
def distilled(tmp_path):
    """A config of a distillation, whose teacher's file is gone, and what it wrote."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.teacher.backbone.depth = 8
    cfg.model.teacher_ckpt = str(tmp_path / 'gone.pth')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmrazor'):
        model = MODELS.build(dict(cfg.model.to_dict(), teacher_ckpt=None))
    weights = model.state_dict()
    torch.save(dict(state_dict=weights), tmp_path / 'distilled.pth')
    return cfg, weights, str(tmp_path / 'distilled.pth')


def load(*arguments, **options):
    with DefaultScope.overwrite_default_scope('mmrazor'):
        return load_distillation(*arguments, **options)


def test_both_networks_are_those_of_the_checkpoint(distilled):
    cfg, weights, path = distilled
    torch.manual_seed(1)
    algorithm = load(cfg, 'checkpoint', path)
    assert not any(module.training for module in algorithm.modules())
    for part in ('architecture', 'teacher'):
        for name, value in getattr(algorithm, part).state_dict().items():
            torch.testing.assert_close(value, weights[f'{part}.{name}'], rtol=0, atol=0)
    # The config's own stays as it was.
    assert cfg.model.teacher_ckpt.endswith('gone.pth')


@pytest.mark.parametrize('part', ['teacher', 'architecture'])
def test_checkpoint_without_a_network(distilled, part):
    cfg, weights, path = distilled
    rest = {key: value for key, value in weights.items() if not key.startswith(part)}
    torch.save(dict(state_dict=rest), path)
    message = f'--compare: .*distilled.pth has no key that begins with "{part}[.]".*a teacher alone'
    with pytest.raises(ValueError, match=message):
        load(cfg, '--compare', path)
    if part == 'teacher':
        student = load(cfg, '--compare', path, needs_teacher=False).student
        torch.testing.assert_close(student.head.fc.weight, weights['architecture.head.fc.weight'])


@pytest.mark.parametrize('part', ['teacher', 'architecture'])
def test_checkpoint_of_another_network(distilled, part):
    cfg, _, path = distilled
    cfg.model[part].backbone.depth = 14
    message = f'checkpoint: the checkpoint does not fit `model.{part}`: '
    with pytest.raises(ValueError, match=message):
        load(cfg, 'checkpoint', path)


def test_activation_checkpointing_is_off(distilled):
    """It gives no gradients of the inputs."""
    cfg, weights, path = distilled
    cfg.model.architecture = CHECKPOINTED
    with DefaultScope.overwrite_default_scope('mmrazor'):
        student = MODELS.build(dict(CHECKPOINTED))
    weights = {k: v for k, v in weights.items() if not k.startswith('architecture.')}
    weights.update({f'architecture.{k}': v for k, v in student.state_dict().items()})
    torch.save(dict(state_dict=weights), path)
    assert disable_checkpointing(student)
    assert not disable_checkpointing(load(cfg, 'checkpoint', path))
