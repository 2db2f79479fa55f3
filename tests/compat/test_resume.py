"""What a checkpoint says is neither run nor obeyed when a Runner resumes it."""

import os
import warnings
from collections import Counter, OrderedDict
from copy import deepcopy
from uuid import uuid4

from amkd_mm import compat

import numpy as np
import pytest
import torch
import torchvision
from mmengine.evaluator import Evaluator
from mmengine.hooks import CheckpointHook
from mmengine.infer import BaseInferencer
from mmengine.model import BaseModel
from mmengine.optim import ConstantLR, MultiStepLR, OneCycleLR
from mmengine.runner import Runner
from mmengine.runner._flexible_runner import FlexibleRunner
from mmrazor.utils import RuntimeInfo
from torch import nn


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, *rows, mode='tensor'):
        x = torch.stack(rows)
        return dict(loss=self.layer(x).square().mean()) if mode == 'loss' else [self.layer(x)]


class Score(Evaluator):
    """An evaluator whose score rises."""

    def __init__(self):
        super().__init__([])
        self.value = 0

    def process(self, **_):
        pass

    def evaluate(self, size):
        self.value += 1
        return dict(score=float(self.value))


def settings(work_dir, epochs, **kwargs):
    data = dict(
        batch_size=2, num_workers=0, dataset=torch.ones(4, 1), sampler=dict(type='DefaultSampler')
    )
    return dict(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=data,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        param_scheduler=[dict(type='MultiStepLR', milestones=[1])],
        experiment_name=uuid4().hex,
        default_scope='mmengine',
        log_level='ERROR',
        **kwargs,
    )


def scored(**checkpoint):
    data = dict(
        batch_size=2, num_workers=0, dataset=torch.ones(4, 1), sampler=dict(type='DefaultSampler')
    )
    return dict(
        val_dataloader=data,
        val_cfg=dict(),
        val_evaluator=Score(),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', save_best='score', rule='greater', **checkpoint)
        ),
    )


@pytest.fixture
def trained(tmp_path):
    """The path of a checkpoint after an epoch, and what it holds, to be changed."""
    Runner(**settings(tmp_path / 'first', 1, cfg=dict(mine=1))).train()
    path = tmp_path / 'first/epoch_1.pth'
    return path, torch.load(path, weights_only=False)


def resume(tmp_path, checkpoint, kind=Runner, **kwargs):
    path = tmp_path / 'changed.pth'
    torch.save(checkpoint, path)
    runner = kind(**settings(tmp_path / 'second', 2, load_from=str(path), resume=True, **kwargs))
    runner.train()
    assert runner.iter == 4
    return runner


def touch(path):
    return f"x = __import__('os').system('echo > {path}')\n"


@pytest.mark.parametrize('kind', [Runner, FlexibleRunner])
def test_the_recorded_config_is_not_run(tmp_path, trained, kind):
    _, checkpoint = trained
    checkpoint['meta']['config'] = touch(tmp_path / 'marker') + 'gpu_ids = [0]\n'
    checkpoint['meta']['cfg'] = touch(tmp_path / 'marker')

    resume(tmp_path, checkpoint, kind)

    assert not (tmp_path / 'marker').exists()


def test_an_ordered_dict_cannot_hide_what_is_in_it(tmp_path, trained):
    """torch's restricted unpickler sets its attributes, which stand in for its methods."""

    def hide(entries):
        hidden = OrderedDict(entries)
        vars(hidden).update(get=Counter, pop=Counter)
        return hidden

    _, checkpoint = trained
    program = touch(tmp_path / 'marker')
    checkpoint['meta'] = hide(dict(checkpoint['meta'], config=program))
    hub = checkpoint['message_hub']
    hub['runtime_info'] = hide(dict(hub['runtime_info'], cfg=program))
    checkpoint['message_hub'] = hide(hub)

    resume(tmp_path, hide(checkpoint), cfg=dict(mine=3))

    assert RuntimeInfo.config().mine == 3
    assert not (tmp_path / 'marker').exists()


@pytest.mark.parametrize('recorded', ['range(0, 2)', '[0, 1]', '(4, 5)', 'range(2)'])
def test_another_number_of_gpus_is_still_found(tmp_path, trained, recorded):
    _, checkpoint = trained
    checkpoint['meta']['config'] = f"lr = 0.1\ngpu_ids = {recorded}\nmodel = dict(type='A')\n"

    with pytest.raises(RuntimeError, match='Number of GPUs .* not consistent'):
        resume(tmp_path, checkpoint)


@pytest.mark.parametrize('recorded', ['range(0, 1)', '[0]', '[]', 'range(10 ** 30)', 'f(2)', '3'])
def test_the_same_number_or_none_resumes(tmp_path, trained, recorded):
    _, checkpoint = trained
    checkpoint['meta']['config'] = f'gpu_ids = {recorded}\n'

    resume(tmp_path, checkpoint)


def test_mmrazor_sees_the_config_of_this_training(tmp_path, trained):
    _, checkpoint = trained
    checkpoint['message_hub']['runtime_info']['cfg'] = touch(tmp_path / 'marker') + 'mine = 2\n'

    resume(tmp_path, checkpoint, cfg=dict(mine=3))

    assert RuntimeInfo.config().mine == 3
    assert not (tmp_path / 'marker').exists()


@pytest.mark.parametrize('named', ['a file', 'a folder', 'a checkpoint'])
def test_a_checkpoint_names_nothing_to_delete(tmp_path, trained, named):
    path, checkpoint = trained
    folder = tmp_path / 'best_precious'
    folder.mkdir()
    (folder / 'thesis.txt').write_text('years of work')
    victims = {'a file': folder / 'thesis.txt', 'a folder': folder, 'a checkpoint': path}
    checkpoint['message_hub']['runtime_info'].update(
        best_ckpt=str(victims[named]), best_score=-1.0, keep_ckpt_ids=['../best_precious', 1, 2]
    )

    runner = resume(tmp_path, checkpoint, **scored(max_keep_ckpts=1))

    assert victims[named].exists() and (folder / 'thesis.txt').exists()
    # And what is to be replaced still is.
    assert [p.name for p in (tmp_path / 'second').glob('*.pth')].count('epoch_2.pth') == 1
    assert runner.message_hub.get_info('best_score') > 0


def test_only_best_checkpoints_are_replaced(tmp_path, trained):
    _, checkpoint = trained
    kept = tmp_path / 'second/epoch_7.pth'
    kept.parent.mkdir()
    kept.write_text('')
    checkpoint['message_hub']['runtime_info'].update(best_ckpt=str(kept), best_score=-1.0)

    resume(tmp_path, checkpoint, **scored())

    assert kept.exists()


def test_the_best_checkpoint_of_the_same_folder_is_replaced(tmp_path):
    Runner(**settings(tmp_path / 'run', 1, **scored())).train()
    (first,) = (tmp_path / 'run').glob('best_*')
    path = tmp_path / 'run/epoch_1.pth'

    Runner(
        **settings(tmp_path / 'run', 3, load_from=str(path), resume=True, **scored()),
    ).train()

    (last,) = (tmp_path / 'run').glob('best_*')
    assert last != first


def test_schedules_take_values_only(tmp_path, trained):
    _, checkpoint = trained
    (state,) = checkpoint['param_schedulers']
    expected = resume(tmp_path, deepcopy(checkpoint)).param_schedulers[0].state_dict()
    # A function that torch's unpickler hands out.
    state.update(_get_value=torch._utils._rebuild_parameter, step=torch.Size, gamma=0.1)

    runner = resume(tmp_path, checkpoint)

    (scheduler,) = runner.param_schedulers
    assert scheduler._get_value.__func__ is MultiStepLR._get_value
    assert scheduler.state_dict() == expected


@pytest.mark.parametrize(
    'build',
    [
        lambda optimizer: OneCycleLR(optimizer, eta_max=0.5, total_steps=10),
        lambda optimizer: ConstantLR(optimizer, factor=0.5, end=7),
        lambda optimizer: MultiStepLR(optimizer, milestones=[2, 4]),
    ],
)
def test_schedules_go_on_where_they_were(build):
    def values(scheduler, optimizer, steps):
        found = []
        for _ in range(steps):
            optimizer.step()
            scheduler.step()
            found.append(optimizer.param_groups[0]['lr'])
        return found

    def start():
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
        return build(optimizer), optimizer

    plain = start()
    expected = values(*plain, 6)
    first = start()
    values(*first, 3)
    second = start()
    second[1].load_state_dict(first[1].state_dict())
    second[0].load_state_dict(first[0].state_dict())

    assert values(*second, 3) == expected[3:]


def test_inference_does_not_run_the_config_of_a_checkpoint(tmp_path, trained):
    path, checkpoint = trained
    checkpoint['message_hub']['runtime_info']['cfg'] = touch(tmp_path / 'marker')
    torch.save(checkpoint, path)

    class Inferencer(BaseInferencer):
        def _init_pipeline(self, cfg): ...

        def visualize(self, *_, **__): ...

        def postprocess(self, *_, **__): ...

    with pytest.raises(ValueError, match='model: give the config'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        Inferencer(weights=str(path), scope='mmengine')

    assert not (tmp_path / 'marker').exists()


class Call:
    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


@pytest.mark.skipif(torch.__version__ < (2, 6), reason='torch.load is unrestricted by default')
def test_weights_of_torchvision_are_restricted(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    weights = torchvision.models.ResNet18_Weights.DEFAULT
    folder = tmp_path / 'hub/checkpoints'
    folder.mkdir(parents=True)
    cached = folder / weights.url.rpartition('/')[2]
    torch.save(dict(a=Call(os.system, f'echo > {tmp_path}/marker')), cached)

    with pytest.raises(Exception, match='[Ww]eights.only'):
        weights.get_state_dict(progress=False, check_hash=False)

    assert not (tmp_path / 'marker').exists()
    torch.save(dict(a=torch.ones(1)), cached)
    assert weights.get_state_dict(progress=False)['a'] == np.ones(1)


def test_the_hook_is_repaired_once():
    before = CheckpointHook.before_train
    compat.apply()
    assert CheckpointHook.before_train is before
