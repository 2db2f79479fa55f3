"""Hooks have names, by which a config and the command line reach them."""

import argparse
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import save_checkpoint
from mmrazor.registry import MODELS
from mmrazor.utils import register_all_modules

from amkd_mm.config.hook_settings import hook_settings
from amkd_mm.hooks import BoundarySampleHook, LocalDistributionHook, LossWeightScheduleHook
from amkd_mm.hooks.sample_hook import SampleHook

ROOT = Path(__file__).resolve().parents[2]
AMKD = ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'
PARTICLES = dict(type='mmrazor.LocalDistributionHook', num_particles=1)


@pytest.fixture
def load(tmp_path):
    """Reads a config with options of the command line, for a training of one step."""

    def load(*options, base=AMKD, text=''):
        register_all_modules(False)
        path = tmp_path / 'config.py'
        path.write_text(f"_base_ = ['{base}']\n{text}\n")
        cfg = Config.fromfile(path)
        parser = argparse.ArgumentParser()
        parser.add_argument('--cfg-options', nargs='+', action=DictAction)
        if options:
            cfg.merge_from_dict(parser.parse_args(['--cfg-options', *options]).cfg_options)
        init_default_scope('mmpretrain')
        cfg.model.teacher.backbone.depth = 8
        teacher = MODELS.build(cfg.model.teacher)
        teacher.init_weights()
        # It gives class 0 to every image.
        torch.nn.init.normal_(teacher.head.fc.weight, std=1e-3)
        teacher.head.fc.bias.data[0] += 1
        cfg.model.teacher_ckpt = str(tmp_path / 'teacher.pth')
        save_checkpoint(dict(state_dict=teacher.state_dict()), cfg.model.teacher_ckpt)
        cfg.train_dataloader.batch_size = cfg.train_dataloader.dataset.indices = 32
        cfg.train_cfg = dict(by_epoch=True, max_epochs=1, val_begin=2)
        cfg.work_dir, cfg.log_level = str(tmp_path), 'WARNING'
        return cfg

    return load


def hooks_of(runner, kind):
    return [hook for hook in runner.hooks if isinstance(hook, kind)]


@pytest.mark.parametrize('number', [2, 1])
def test_a_setting_of_a_hook_has_its_effect(load, number):
    hook = 'default_hooks.boundary_samples'
    # Of the images that the teacher gets right, of which there are enough.
    cfg = load(f'{hook}.num_samples={number}', f'{hook}.base=discrepancy')
    runner = Runner.from_cfg(cfg)
    runner.train()
    attacked = runner.message_hub.log_scalars['train/boundary/attacked'].current()
    assert attacked == number


def test_num_samples_is_a_share(load):
    """The option that the documentation shows."""
    cfg = load('default_hooks.boundary_samples.num_samples=0.5')
    runner = Runner.from_cfg(cfg)
    (hook,) = hooks_of(runner, BoundarySampleHook)
    assert hook.sampler.num_samples == hook.maker.num_samples == 0.5
    # And nothing else.
    (alone,) = hooks_of(Runner.from_cfg(load('experiment_name=other')), BoundarySampleHook)
    assert alone.sampler.num_samples == alone.maker.num_samples == 0.25
    assert hook.sampler.reuse == alone.sampler.reuse == 4
    assert {**vars(hook.maker), 'num_samples': 0, 'attack': 0} == {
        **vars(alone.maker),
        'num_samples': 0,
        'attack': 0,
    }


def test_the_schedule_of_a_weight_by_its_name(load):
    cfg = load('default_hooks.boundary_weight.start=0.1')
    runner = Runner.from_cfg(cfg)
    runner.train()
    weights = runner.message_hub.log_scalars['train/weight/loss_boundary']
    assert weights.current() == pytest.approx(0.1)


def test_none_leaves_out_a_hook(load):
    cfg = load('default_hooks.boundary_samples=None', 'default_hooks.boundary_weight=None')
    runner = Runner.from_cfg(cfg)
    assert not hooks_of(runner, (BoundarySampleHook, LossWeightScheduleHook))
    with pytest.warns(UserWarning, match=r'boundary_samples=dict.* to `default_hooks`'):
        runner.train()
    assert 'train/distill.loss_boundary' not in runner.message_hub.log_scalars
    assert 'train/distill.loss_kl' in runner.message_hub.log_scalars


def test_none_leaves_out_hooks_of_mmengine_as_before(load):
    runner = Runner.from_cfg(load('default_hooks.timer=None'))
    assert 'IterTimerHook' not in [type(hook).__name__ for hook in runner.hooks]


@pytest.mark.parametrize(
    'text',
    [
        f'default_hooks = dict(particles={PARTICLES})',
        f'custom_hooks = [{PARTICLES}]',
    ],
)
def test_samples_are_numbered_by_names_and_then_by_custom_hooks(load, text):
    """A custom hook comes after all that have names; none of these is lost by it."""
    cfg = load(text=text)
    recorder = dict(recorder='logits', record_idx=2)
    cfg.model.distiller.distill_losses.loss_tald = dict(type='TALDLoss')
    cfg.model.distiller.loss_forward_mappings.loss_tald = dict(
        preds_S=dict(recorder, from_student=True),
        preds_T=dict(recorder, from_student=False),
        gt_labels=dict(recorder='labels', from_student=True, record_idx=2),
    )
    kinds = [kind for kind, _ in hook_settings(cfg, SampleHook)]
    assert kinds == [BoundarySampleHook, LocalDistributionHook]
    runner = Runner.from_cfg(cfg)
    (first,), (second,) = (
        hooks_of(runner, kind) for kind in (BoundarySampleHook, LocalDistributionHook)
    )
    runner.train()
    assert runner.model.samplers == [first.sampler, second.sampler]
    assert len(first.samples.rows) <= 8 and len(second.samples.rows) == 32
    assert 'train/distill.loss_tald' in runner.message_hub.log_scalars
