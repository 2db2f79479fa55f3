"""A mistake in an entry of a config is an error with its key and the nearest names."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import HOOKS, Registry
from mmengine.runner import Runner
from mmrazor.utils import register_all_modules

from amkd_mm.config.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'


def fail(tmp_path, options, kind=TypeError):
    """The message of a training with such settings."""
    register_all_modules(False)
    cfg = Config.fromfile(DIGITS)
    cfg.merge_from_dict({'model.teacher_ckpt': None, **options})
    cfg.work_dir, cfg.log_level = str(tmp_path), 'ERROR'
    with pytest.raises(kind) as error:
        Runner.from_cfg(cfg).train()
    return str(error.value)


@pytest.mark.parametrize(
    'key, near',
    [
        ('default_hooks.boundary_samples.num_sample', "BoundarySampleHook .*'num_samples'"),
        ('default_hooks.boundary_samples.intervall', "BoundarySampleHook .*'interval'"),
        ('default_hooks.boundary_samples.attack.max_step', "BoundarySearch .*'max_steps'"),
        ('default_hooks.checkpoint.max_keep_ckpt', 'no such setting: .*CheckpointHook'),
        ('model.distiller.distill_losses.loss_kl.tua', "KLDivergence .*'tau'"),
        ('model.distiller.student_recorders.logits.sorce', "LogitsRecorder .*'teacher'"),
        ('model.distiller.student_recorders.labels.sorce', 'LabelsRecorder .* none at all'),
        ('model.architecture.backbone.dept', "CifarResNet .*'depth'"),
        ('model.architecture.head.in_channel', "LinearClsHead .*'in_channels'"),
        ('data_preprocessor.stdd', "ClsDataPreprocessor .*'std'"),
        ('optim_wrapper.optimizer.momentun', "SGD .*'momentum'"),
        ('optim_wrapper.clip_gard', "OptimWrapper .*'clip_grad'"),
        ('param_scheduler.gama', "'gamma'"),
        ('train_dataloader.dataset.splt', "Digits .*'split'"),
        ('train_dataloader.dataset.pipeline.0.crop_siz', "RandomCrop .*'crop_size'"),
        ('train_dataloader.sampler.shufle', "DefaultSampler .*'shuffle'"),
        ('val_dataloader.dataset.data_rot', "Digits .*'data_root'"),
        ('val_evaluator.topc', "Accuracy .*'topk'"),
        ('train_cfg.max_epoch', 'no such setting: .*max_epoch'),
        ('train_dataloader.batch_sz', 'no such setting: .*batch_sz'),
        ('visualizer.vis_backend', "'vis_backends'"),
    ],
)
def test_misspelt_arguments(tmp_path, key, near):
    message = fail(tmp_path, {key: 3})
    assert message.startswith(f'{key}: '), message
    assert re.search(near, message), message


def test_connectors(tmp_path):
    connector = dict(type='TorchNNConnector', module_name='Linear', module_arg=dict())
    message = fail(tmp_path, {'model.distiller.connectors': dict(a=[connector])})
    assert message.startswith('model.distiller.connectors.a.0.module_arg: TorchNNConnector has no')
    assert "'module_args'" in message


def test_all_places_of_the_same_mistake(tmp_path):
    transform = dict(type='RandomFlip', probb=0.5)
    pipeline = [transform, dict(type='PackInputs')]
    keys = [f'{split}_dataloader.dataset.pipeline' for split in ('train', 'val')]
    message = fail(tmp_path, dict.fromkeys(keys, pipeline))
    assert message.startswith(', '.join(f'{key}.0.probb' for key in keys) + ': RandomFlip')


def test_missing_argument(tmp_path):
    hook = dict(type='mmrazor.BoundarySampleHook', num_samples=2)
    message = fail(tmp_path, dict(custom_hooks=[dict(type='EMAHook'), hook]))
    assert message == "custom_hooks.1: BoundarySampleHook needs ['attack'], too"


@pytest.mark.parametrize(
    'key, value, near',
    [
        (
            'default_hooks.boundary_samples.type',
            'mmrazor.BoundrySampleHook',
            "'mmrazor.BoundarySampleHook'",
        ),
        ('model.distiller.distill_losses.loss_kl.type', 'KLDivergance', "'KLDivergence'"),
        ('model.architecture.backbone.type', 'CifarResnet', "'CifarResNet'"),
        ('train_dataloader.dataset.type', 'Digit', "'Digits'"),
        ('val_evaluator.type', 'Acuracy', "'Accuracy'"),
        ('optim_wrapper.type', 'OptimWraper', "'OptimWrapper'"),
    ],
)
def test_misspelt_types(tmp_path, key, value, near):
    message = fail(tmp_path, {key: value}, KeyError)
    assert message.startswith(f'{key}: ') and near in message, message


@pytest.mark.parametrize(
    'bases, files, keys, near',
    [
        (
            ['distillers/kd.py', 'default_runtime.py'],
            "['distillers/kd.py', '_base_/default_runtime.py']",
            ['default_hooks', 'default_scope', 'visualizer'],
            'leave out default_runtime.py, because each part in `_base_/distillers` includes it',
        ),
        (
            [
                'pairs/resnet26_resnet8_digits.py',
                'distillers/kd.py',
                'schedules/digits_bs64_12e.py',
            ],
            "['pairs/resnet26_resnet8_digits.py', 'schedules/digits_bs64_12e.py']",
            ['optim_wrapper', 'param_scheduler', 'train_cfg', 'auto_scale_lr'],
            'leave one out, or let one of them inherit the other by its own `_base_`',
        ),
    ],
)
@pytest.mark.parametrize('depth', [1, 2])
def test_bases_with_a_key_in_common(tmp_path, bases, files, keys, near, depth):
    """The message names files and keys, however deep in the bases of a config they are."""
    bases = [f'{ROOT}/configs/_base_/{name}' for name in bases]
    for number in range(depth):
        path = tmp_path / f'{number}.py'
        path.write_text(f'_base_ = {bases}\n')
        bases = [str(path)]
    with pytest.raises(KeyError) as error:
        Config.fromfile(path)
    message = str(error.value)
    assert message.startswith(f'_base_: {files} share the keys [') and near in message
    named = message[message.index('keys [') : message.index('], which')]
    assert all(repr(key) in named for key in keys) and "'model'" not in named
    # And nothing is left of it in the next config.
    assert Config.fromfile(DIGITS).model.type == 'AMKD'


def test_other_errors_of_reading_a_config_are_left_alone(tmp_path):
    path = tmp_path / 'broken.py'
    path.write_text('_base_ = []\nvalue = {}["absent"]\n')
    with pytest.raises(KeyError) as error:
        Config.fromfile(path)
    assert type(error.value) is KeyError and error.value.args == ('absent',)


def test_errors_about_something_else_are_left_alone():
    """Also a TypeError within the class, of an argument that the config has not."""
    registry = Registry('things')

    @registry.register_module()
    class Thing:
        def __init__(self, size):
            if size == 1:
                dict(**{'a': 1}).get(bad=1)
            if size == 2:
                sorted([], bad=1)
            raise KeyError('other')

    for size, kind in ((1, TypeError), (2, TypeError), (3, KeyError)):
        with pytest.raises(kind) as error:
            registry.build(dict(type='Thing', size=size))
        assert not isinstance(error.value, ConfigError)


def test_without_a_runner():
    """The key within the entry, then."""
    hook = dict(type='mmrazor.BoundarySampleHook', attack=dict(type='BSSAttack', eta_=1))
    with pytest.raises(ConfigError, match=r'^attack.eta_: BSSAttack has no such argument'):
        HOOKS.build(hook)
