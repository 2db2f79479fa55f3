"""SeparateMomentumOptimWrapper: updates of plain numbers, and in real Runners."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch import nn
from torch.utils.data import Subset

from amkd_mm.optim import SeparateMomentumOptimWrapper
from given_samples import give

ROOT = Path(__file__).resolve().parents[2]
LOGITS = dict(losses=['distill.loss_kl'], momentum=0.95)
FEATURES = dict(losses=['distill.loss_hint*'], momentum=0.7)


class Quadratic(BaseModel):
    """Losses ``factor / 2 * |weight - target|^2``, whose gradients are plain numbers."""

    FACTORS = {'student.loss': 1.0, 'distill.loss_kl': 0.5, 'distill.loss_hint1': 2.0}

    def __init__(self):
        super().__init__()
        self.shared = nn.Parameter(torch.tensor([1.0, -2.0]))
        # Of the hints alone, as that of a connector.
        self.connector = nn.Parameter(torch.tensor([0.5]))
        self.unused = nn.Parameter(torch.tensor([3.0]))
        self.calls = 0

    def forward(self, inputs, data_samples=None, mode='loss'):
        self.calls += 1
        losses = {
            name: factor / 2 * (self.shared - inputs[name]).square().sum()
            for name, factor in self.FACTORS.items()
            if name in inputs
        }
        if 'distill.loss_hint1' in losses:
            # A list of tensors, as losses may be.
            losses['distill.loss_hint1'] = [
                losses['distill.loss_hint1'],
                self.connector.square().sum(),
            ]
        # Only logged.
        return dict(losses, accuracy=self.shared.sum().detach())


def targets_of(step):
    """Targets of the losses; the hints have none in the third step."""
    rng = np.random.RandomState(step)
    found = {name: torch.tensor(rng.randn(2), dtype=torch.float64) for name in Quadratic.FACTORS}
    if step == 2:
        found.pop('distill.loss_hint1')
    return found


def make_wrapper(model, groups, lr=0.1, **settings):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.6, weight_decay=0.01)
    return SeparateMomentumOptimWrapper(optimizer, groups, **settings)


def train(model, wrapper, steps):
    for step in range(steps):
        model.train_step(dict(inputs=targets_of(step)), wrapper)


def test_updates_by_hand():
    model = Quadratic().double()
    wrapper = make_wrapper(model, dict(logits=LOGITS, features=FEATURES))
    shared, connector = np.array([1.0, -2.0]), 0.5
    task, logits, features = np.zeros(2), np.zeros(2), np.zeros(2)
    of_task, of_features = 0.0, 0.0
    for step in range(5):
        targets = {name: target.numpy() for name, target in targets_of(step).items()}
        hints = 'distill.loss_hint1' in targets
        task = 0.6 * task + shared - targets['student.loss'] + 0.01 * shared
        logits = 0.95 * logits + 0.5 * (shared - targets['distill.loss_kl'])
        features = 0.7 * features + (2.0 * (shared - targets['distill.loss_hint1']) if hints else 0)
        shared = shared - 0.1 * (task + logits + features)
        if hints:
            # A parameter that no loss uses stays as it is, with its momenta.
            of_task = 0.6 * of_task + 0.01 * connector
            of_features = 0.7 * of_features + 2 * connector
            connector = connector - 0.1 * (of_task + of_features)

        model.train_step(dict(inputs=targets_of(step)), wrapper)
        assert model.shared.detach().numpy() == pytest.approx(shared, rel=1e-9)
        assert model.connector.item() == pytest.approx(connector, rel=1e-9)
    assert model.unused.item() == 3
    assert model.calls == 5
    assert wrapper._inner_count == 5


def test_equal_momenta_are_plain_sgd():
    models = Quadratic().double(), Quadratic().double()
    groups = dict(logits=dict(LOGITS, momentum=0.6), features=dict(FEATURES, momentum=0.6))
    optimizer = torch.optim.SGD(models[1].parameters(), lr=0.1, momentum=0.6, weight_decay=0.01)
    for model, wrapper in zip(
        models, (make_wrapper(models[0], groups), OptimWrapper(optimizer)), strict=True
    ):
        # While every parameter is used: PyTorch 1.13 decays the others.
        train(model, wrapper, 2)
    for ours, theirs in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(ours, theirs)
    model = Quadratic().double()
    train(model, make_wrapper(model, dict(logits=LOGITS)), 2)
    assert (model.shared - models[1].shared).abs().max() > 0.01


def test_learning_rates_of_parameters_and_of_the_schedule():
    model = Quadratic().double()
    optimizer = torch.optim.SGD(
        [
            dict(params=[model.shared]),
            dict(params=[model.connector], lr=0.0),
            dict(params=[model.unused]),
        ],
        lr=0.1,
    )
    wrapper = SeparateMomentumOptimWrapper(optimizer, dict(features=FEATURES))
    train(model, wrapper, 2)
    assert model.connector.item() == 0.5
    optimizer.param_groups[0]['lr'] = 0.0
    before = model.shared.detach().clone()
    train(model, wrapper, 1)
    assert torch.equal(model.shared, before)


def mjkd():
    """MJKD's Digits pair."""
    cfg = Config.fromfile(ROOT / 'configs/mjkd/mjkd_resnet26_resnet8_1xb64_digits.py')
    cfg.model.teacher_ckpt = None
    return cfg


def test_config_keeps_the_schedule():
    wrapper = mjkd().optim_wrapper
    schedule = Config.fromfile(ROOT / 'configs/_base_/schedules/digits_bs64_12e.py').optim_wrapper
    assert wrapper.optimizer == dict(schedule.optimizer, momentum=0.85)
    momenta = [wrapper.groups[name].momentum for name in ('features', 'logits')]
    # More weight for logits.
    assert 0.85 < momenta[0] < momenta[1]


def test_gradients_of_the_groups_of_amkd():
    """Beside AMKD: the losses of boundary rows are in a group, and may be missing in a step."""
    cfg = Config.fromfile(ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py')
    cfg.model.teacher_ckpt = None
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).train()
    names = ['distill.loss_boundary', 'distill.loss_triplet']
    optimizer = dict(type='SGD', lr=0.0, momentum=0.9)
    groups = dict(boundary=dict(losses=names, momentum=0.5))
    settings = dict(type='mmrazor.SeparateMomentumOptimWrapper', groups=groups)

    def make():
        return build_optim_wrapper(model, dict(settings, optimizer=optimizer))

    wrapper = make()
    samples = [DataSample().set_gt_label(index % 3) for index in range(6)]
    images = list(torch.randint(0, 256, (10, 3, 8, 8)).byte())
    state = {name: buffer.clone() for name, buffer in model.named_buffers()}
    clean = dict(inputs=images[:6], data_samples=samples)
    moved = model.data_preprocessor(dict(inputs=images[6:]), False)['inputs']
    give(model, moved)
    model.train_step(clean, wrapper)
    for name, buffer in model.named_buffers():
        buffer.copy_(state[name])
    give(model, moved)
    losses = model(**model.data_preprocessor(clean, True), mode='loss')
    weight = model.student.backbone.conv1.weight
    first = {}
    for key, group in (
        ('momentum_buffer_boundary', names),
        ('momentum_buffer', set(losses) - set(names)),
    ):
        total = sum(losses[name] for name in group if 'loss' in name)
        (first[key],) = torch.autograd.grad(total, weight, retain_graph=True)
        assert first[key].norm() > 0
        torch.testing.assert_close(wrapper.optimizer.state[weight][key], first[key])

    model.train_step(clean, wrapper)
    boundary = wrapper.optimizer.state[weight]['momentum_buffer_boundary']
    torch.testing.assert_close(boundary, 0.5 * first['momentum_buffer_boundary'])
    # Also in the first step, as that of a run resumed after the last boundary samples.
    assert model.train_step(clean, make())


def test_a_resumed_run_gives_the_same_weights(tmp_path):
    cfg = mjkd()
    loader = cfg.train_dataloader
    loader.update(batch_size=16, num_workers=0, persistent_workers=False)
    init_default_scope('mmpretrain')
    # Random augmentation would differ.
    images = DATASETS.build(dict(loader.dataset, pipeline=cfg.val_dataloader.dataset.pipeline))
    loader.dataset = Subset(images, range(64))

    def run(name, **settings):
        runner = Runner(
            cfg.model,
            str(tmp_path / name),
            train_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=2),
            optim_wrapper=cfg.optim_wrapper,
            param_scheduler=dict(type='MultiStepLR', milestones=[1], gamma=0.5),
            data_preprocessor=cfg.data_preprocessor,
            default_scope='mmpretrain',
            randomness=dict(seed=0),
            experiment_name=name,
            **settings,
        )
        runner.train()
        return runner.model.state_dict()

    whole = run('whole')
    checkpoint = tmp_path / 'whole/epoch_1.pth'
    resumed = run('resumed', load_from=str(checkpoint), resume=True)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, msg=name)

    # It is the momenta that make the difference.
    saved = torch.load(checkpoint)
    for state in saved['optimizer']['state'].values():
        state.pop('momentum_buffer_features')
    torch.save(saved, tmp_path / 'without.pth')
    without = run('without', load_from=str(tmp_path / 'without.pth'), resume=True)
    weight = 'architecture.backbone.conv1.weight'
    assert (without[weight] - whole[weight]).abs().max() > 1e-3


# --- What it refuses ------------------------------------------------------------------------------


def test_a_loss_that_is_not_there():
    model = Quadratic().double()
    wrapper = make_wrapper(model, dict(logits=dict(losses=['distill.loss_k'], momentum=0.9)))
    match = r"groups.logits.losses: no loss is named 'distill.loss_k'.*'distill.loss_kl'"
    with pytest.raises(KeyError, match=match):
        train(model, wrapper, 1)


def test_a_loss_in_two_groups():
    model = Quadratic().double()
    everything = dict(losses=['distill.*'], momentum=0.9)
    wrapper = make_wrapper(model, dict(logits=LOGITS, everything=everything))
    with pytest.raises(ValueError, match=r"'distill.loss_kl' is in several.*logits.*everything"):
        train(model, wrapper, 1)


def test_losses_without_names():
    weight = nn.Parameter(torch.ones(1))
    wrapper = SeparateMomentumOptimWrapper(torch.optim.SGD([weight], lr=0.1), dict(logits=LOGITS))
    with pytest.raises(RuntimeError, match='needs the losses by name'):
        wrapper.update_params(weight.sum())


class Sharded(nn.Module):
    """Looks like a wrapper of models that is not DDP."""

    def __init__(self, module):
        super().__init__()
        self.module = module


def test_another_model_wrapper(monkeypatch):
    from mmengine.registry import MODEL_WRAPPERS

    monkeypatch.setitem(MODEL_WRAPPERS._module_dict, 'Sharded', Sharded)
    model = Quadratic()
    wrapper = make_wrapper(model, dict(logits=LOGITS))
    with (
        pytest.raises(TypeError, match='model_wrapper_cfg: .* not Sharded'),
        wrapper.optim_context(Sharded(model)),
    ):
        pass


@pytest.mark.parametrize(
    'settings, match',
    [
        (dict(groups={}), 'groups must name a group'),
        (dict(groups=dict(logits=dict(losses=['a']))), 'groups.logits must have'),
        (dict(groups=dict(logits=dict(LOGITS, losses='a'))), 'logits.losses must be a list'),
        (dict(groups=dict(logits=dict(LOGITS, losses=[]))), 'logits.losses must be a list'),
        (dict(groups=dict(logits=dict(LOGITS, momentum=1))), 'logits.momentum must be from 0'),
        (dict(accumulative_counts=2), 'accumulative_counts'),
        (dict(clip_grad=dict(max_norm=1)), 'clip_grad'),
    ],
)
def test_settings(settings, match):
    with pytest.raises(ValueError, match=match):
        make_wrapper(Quadratic(), **{'groups': dict(logits=LOGITS), **settings})


@pytest.mark.parametrize(
    'optimizer, error, match',
    [
        (dict(type='Adam', lr=0.1), TypeError, 'needs SGD, not Adam'),
        (dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True), ValueError, 'without nesterov'),
        (dict(type='SGD', lr=0.1, momentum=0.9, dampening=0.1), ValueError, 'without dampening'),
        (dict(type='SGD', lr=0.1, maximize=True), ValueError, 'without maximize'),
    ],
)
def test_optimizers(optimizer, error, match):
    settings = dict(
        type='mmrazor.SeparateMomentumOptimWrapper',
        groups=dict(logits=LOGITS),
        optimizer=optimizer,
    )
    with pytest.raises(error, match=match):
        build_optim_wrapper(Quadratic(), settings)
