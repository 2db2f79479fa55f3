"""LossWeightScheduleHook: the weights by hand, and their effect in real Runners."""

import inspect
import math
import warnings

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.model import BaseModule
from mmpretrain.models import ImageClassifier
from mmrazor.registry import HOOKS
from mmrazor.registry import MODELS as RAZOR_MODELS
from torch import nn

from amkd_mm.algorithms import AMKD
from amkd_mm.hooks import LossWeightScheduleHook
from labelled_images import LabelledImages, random_images
from runners import quiet_runner

NUM_CLASSES = 5
pytestmark = pytest.mark.usefixtures('mmpretrain_scope')


def weights(epochs, **options):
    """The weights of a whole training."""
    hook = LossWeightScheduleHook(loss='loss', **options)
    return [hook.weight(epoch, epochs) for epoch in range(epochs)]


# --- The weights ----------------------------------------------------------------------------------

HALF = math.sqrt(0.5)
SCHEDULES = [
    # constant
    (4, dict(policy='constant', start=3.0), [3, 3, 3, 3]),
    (4, dict(policy='constant', start=3.0, stop=0.0, end=2), [3, 3, 0, 0]),
    (4, dict(policy='constant', start=3.0, stop=0.5, end=0.75), [3, 3, 3, 0.5]),
    # Without `stop` there is nothing to end with.
    (4, dict(policy='constant', start=3.0, end=2), [3, 3, 3, 3]),
    # linear: the last weight belongs to the epoch after the last.
    (4, dict(policy='linear', start=4.0, stop=0.0), [4, 3, 2, 1]),
    (4, dict(policy='linear', start=0.0, stop=2.0), [0, 0.5, 1, 1.5]),
    (6, dict(policy='linear', start=4.0, stop=1.0, begin=2, end=5), [4, 4, 4, 3, 2, 1]),
    (6, dict(policy='linear', start=4.0, stop=0.0, end=2), [4, 2, 0, 0, 0, 0]),
    (
        8,
        dict(policy='linear', start=1.0, stop=0.0, begin=0.25, end=0.75),
        [1] * 3 + [0.75, 0.5, 0.25, 0, 0],
    ),
    # Half an epoch stays half an epoch: 2.5 of 5.
    (5, dict(policy='linear', start=5.0, stop=0.0, end=0.5), [5, 3, 1, 0, 0]),
    (5, dict(policy='linear', start=4.0, stop=2.0, begin=3, end=3), [4, 4, 4, 2, 2]),
    # Beyond the training: an unfinished change.
    (2, dict(policy='linear', start=4.0, stop=0.0, end=4), [4, 3]),
    # cosine
    (4, dict(policy='cosine', start=2.0, stop=0.0), [2, 1 + HALF, 1, 1 - HALF]),
    (
        6,
        dict(policy='cosine', start=0.0, stop=4.0, begin=1, end=5),
        [0, 0, 2 - 2 * HALF, 2, 2 + 2 * HALF, 4],
    ),
    (4, dict(policy='cosine', start=2.0, stop=1.0, end=0.5), [2, 1.5, 1, 1]),
    # step
    (5, dict(policy='step', start=2.0, milestones=[1, 3]), [2, 0.2, 0.2, 0.02, 0.02]),
    (4, dict(policy='step', start=2.0, milestones=[0.5, 0.75], gamma=0.5), [2, 2, 1, 0.5]),
    (4, dict(policy='step', start=2.0, milestones=[3, 2], gamma=3.0), [2, 2, 6, 18]),
    (4, dict(policy='step', start=2.0, milestones=[1], stop=7.0, end=3), [2, 0.2, 0.2, 7]),
]


@pytest.mark.parametrize(('epochs', 'options', 'expected'), SCHEDULES)
def test_weights(epochs, options, expected):
    assert weights(epochs, **options) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('epochs', [12, 80, 200])
def test_bss_schedule(epochs):
    """Heo et al., AAAI 2019: 4 to 1 for clean samples, 2 to 0 at 3/4 for boundary samples."""
    clean = weights(epochs, policy='linear', start=4.0, stop=1.0)
    boundary = weights(epochs, policy='linear', start=2.0, stop=0.0, end=0.75)
    for epoch in range(epochs):
        left = 1 - epoch / epochs
        assert clean[epoch] == pytest.approx(3 * left + 1)
        assert boundary[epoch] == pytest.approx(max(0, 2 * (1 - 4 / 3 * epoch / epochs)), abs=1e-12)
    assert boundary[epochs * 3 // 4] == 0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(policy='exponential', start=1.0), "policy.*'exponential'"),
        (dict(policy='linear', start=1.0), "'linear' needs `stop`"),
        (dict(policy='cosine', start=1.0), "'cosine' needs `stop`"),
        (dict(policy='step', start=1.0), 'milestones'),
        (dict(policy='step', start=1.0, milestones=[]), 'milestones'),
        (dict(policy='linear', start=1.0, stop=0.0, milestones=[1]), 'milestones'),
        (dict(policy='step', start=1.0, milestones=[1.5]), 'milestones'),
        (dict(policy='linear', start=1.0, stop=0.0, begin=-1), 'begin'),
        (dict(policy='linear', start=1.0, stop=0.0, end=2.0), 'end'),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        LossWeightScheduleHook(loss='loss', **options)


def test_the_defaults_of_a_config():
    config = dict(loss='a', policy='step', start=1, milestones=[1])
    hook = HOOKS.build(ConfigDict(type='mmrazor.LossWeightScheduleHook', **config))
    assert isinstance(hook, LossWeightScheduleHook)
    assert [hook.weight(epoch, 3) for epoch in range(3)] == pytest.approx([1, 0.1, 0.1])


# --- In a Runner ----------------------------------------------------------------------------------


class Flat(BaseModule):
    """A backbone without batch norm or dropout: its losses only change with the weights."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(48, 6)

    def forward(self, inputs):
        return (self.fc(inputs.flatten(1)),)


def classifier(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ImageClassifier(
            backbone=Flat(),
            head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=6, init_cfg=None),
            data_preprocessor=dict(mean=[128.0] * 3, std=[64.0] * 3),
        )
    # Or the Runner would draw new weights.
    model._is_init = True
    return model


def loss_config(**losses):
    """Losses that read logits, and labels where they want them."""
    mappings = dict()
    for name, config in losses.items():
        signature = inspect.signature(RAZOR_MODELS.get(config['type']).forward)
        mappings[name] = {
            argument: SOURCES[argument] for argument in signature.parameters if argument in SOURCES
        }
    return dict(
        _scope_='mmrazor',
        type='ConfigurableDistiller',
        student_recorders=dict(
            logits=dict(type='ModuleOutputs', source='head.fc'),
            loss_inputs=dict(type='ModuleInputs', source='head.loss_module'),
        ),
        teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='head.fc')),
        distill_losses=losses,
        loss_forward_mappings=mappings,
    )


STUDENT = dict(recorder='logits', from_student=True)
TEACHER = dict(recorder='logits', from_student=False)
LABELS = dict(recorder='loss_inputs', from_student=True, data_idx=1)
SOURCES = dict(
    preds_S=STUDENT,
    logits_S=STUDENT,
    s_feature=STUDENT,
    student=STUDENT,
    anchor=STUDENT,
    preds_T=TEACHER,
    logits_T=TEACHER,
    t_feature=TEACHER,
    teacher=TEACHER,
    reference=TEACHER,
    gt_labels=LABELS,
    anchor_labels=LABELS,
    reference_labels=LABELS,
)


def train(tmp_path, hooks, losses, epochs, lr=0.0, batch_size=12, **kwargs):
    """Train in a Runner, with a student that does not learn unless told so."""
    model = AMKD(distiller=loss_config(**losses), teacher=classifier(0), architecture=classifier(1))
    options = dict(
        model=model,
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            dataset=LabelledImages(random_images(12, size=4), [i % NUM_CLASSES for i in range(12)]),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=lr)),
        custom_hooks=[
            hook if isinstance(hook, Hook) else {'type': 'mmrazor.LossWeightScheduleHook', **hook}
            for hook in hooks
        ],
    )
    runner = quiet_runner(tmp_path, **{**options, **kwargs})
    runner.train()
    return runner


def history(runner, name):
    return runner.message_hub.log_scalars[f'train/{name}'].data[0].tolist()


# MMRazor losses that take logits, and ours.
LOSSES = [
    dict(type='KLDivergence', tau=3),
    dict(type='DKDLoss', tau=2),
    dict(type='DISTLoss'),
    dict(type='L1Loss'),
    dict(type='L2Loss'),
    dict(type='WSLD', num_classes=NUM_CLASSES),
    dict(type='DistanceWiseRKD'),
    dict(type='AngleWiseRKD'),
    dict(type='TripletDistillLoss'),
]


@pytest.mark.parametrize('loss', LOSSES, ids=lambda loss: loss['type'])
def test_the_weight_acts_on_the_loss(loss, tmp_path):
    schedule = dict(loss='loss_x', policy='linear', start=4.0, stop=1.0, end=3)
    # Both the weight in the config and that of an earlier training are overruled.
    runner = train(tmp_path, [schedule], dict(loss_x=dict(loss, loss_weight=77.0)), epochs=4)
    assert history(runner, 'weight/loss_x') == pytest.approx([4, 3, 2, 1])

    losses = history(runner, 'distill.loss_x')
    student, teacher = runner.model.student.cpu(), runner.model.teacher.cpu()
    batch = [runner.train_dataloader.dataset[i] for i in range(12)]
    images = torch.stack([item['inputs'] for item in batch])
    inputs = student.data_preprocessor.cpu()(dict(inputs=images), False)['inputs']
    labels = torch.tensor([i % NUM_CLASSES for i in range(12)])
    values = {
        id(STUDENT): student(inputs, mode='tensor').detach(),
        id(TEACHER): teacher(inputs, mode='tensor').detach(),
        id(LABELS): labels,
    }
    module = RAZOR_MODELS.build(dict(loss, loss_weight=1.0, _scope_='mmrazor'))
    signature = inspect.signature(module.forward)
    arguments = {
        name: values[id(SOURCES[name])] for name in signature.parameters if name in SOURCES
    }
    raw = module(**arguments).item()
    assert raw > 0
    assert losses == pytest.approx([4 * raw, 3 * raw, 2 * raw, raw], rel=1e-4)


def test_the_weight_acts_on_the_gradient(tmp_path):
    """One step with weight 2 and one with weight 0, without task loss."""

    class Weights(Hook):
        def __init__(self):
            self.seen = []

        def before_train_epoch(self, runner):
            self.seen.append(runner.model.student.head.fc.weight.detach().cpu().clone())

        after_train = before_train_epoch

    spy = Weights()
    model = AMKD(
        distiller=loss_config(loss_kl=dict(type='KLDivergence')),
        teacher=classifier(0),
        architecture=classifier(1),
        calculate_student_loss=False,
    )
    schedule = dict(loss='loss_kl', policy='step', start=2.0, milestones=[1], gamma=0.0)
    train(tmp_path, [schedule, spy], dict(loss_kl=dict(type='L2Loss')), 2, lr=0.1, model=model)
    first, second, last = spy.seen
    assert not torch.equal(first, second) and torch.equal(second, last)


def test_several_schedules(tmp_path):
    losses = dict(
        loss_kl=dict(type='KLDivergence'),
        loss_dkd=dict(type='DKDLoss'),
        loss_l2=dict(type='L2Loss'),
    )
    hooks = [
        dict(loss='loss_kl', policy='linear', start=4.0, stop=1.0),
        dict(loss='loss_dkd', policy='step', start=3.0, milestones=[2]),
    ]
    runner = train(tmp_path, hooks, losses, epochs=3, batch_size=6)
    # One value an iteration.
    assert history(runner, 'weight/loss_kl') == pytest.approx([4, 4, 3, 3, 2, 2])
    assert history(runner, 'weight/loss_dkd') == pytest.approx([3, 3, 3, 3, 0.3, 0.3])
    assert 'train/weight/loss_l2' not in runner.message_hub.log_scalars
    assert runner.model.distiller.distill_losses['loss_l2'].loss_weight == 1


def test_a_second_schedule_of_one_loss_is_an_error(tmp_path):
    hooks = [dict(loss='loss_kl', policy='constant', start=start) for start in (1.0, 2.0)]
    with pytest.raises(ValueError, match="there are several for loss='loss_kl'"):
        train(tmp_path, hooks, dict(loss_kl=dict(type='KLDivergence')), epochs=1)


def test_another_number_of_a_loss(tmp_path):
    """Beside its weight, and under its own name."""
    hooks = [
        dict(loss='loss_kl', policy='linear', start=4.0, stop=1.0),
        dict(loss='loss_kl', attribute='tau', policy='linear', start=1.0, stop=4.0),
    ]
    runner = train(tmp_path / 'a', hooks, dict(loss_kl=dict(type='KLDivergence')), epochs=3)
    assert history(runner, 'weight/loss_kl') == pytest.approx([4, 3, 2])
    assert history(runner, 'tau/loss_kl') == pytest.approx([1, 2, 3])
    loss = runner.model.distiller.distill_losses['loss_kl']
    assert (loss.loss_weight, loss.tau) == (2, 3)
    missing = dict(loss='loss_kl', attribute='temperature', policy='constant', start=1.0)
    with pytest.raises(ValueError, match=r'has no `temperature`; .* can be scheduled: \[\]'):
        train(tmp_path / 'b', [missing], dict(loss_kl=dict(type='KLDivergence')), epochs=1)
    with pytest.raises(ValueError, match="for loss='loss_kl' and its `tau`"):
        train(tmp_path / 'c', [hooks[1]] * 2, dict(loss_kl=dict(type='KLDivergence')), epochs=1)


def test_a_weight_that_stays_zero_is_a_warning(tmp_path):
    losses = dict(loss_kl=dict(type='KLDivergence', loss_weight=0.0))
    with pytest.warns(UserWarning, match="the weight of 'loss_kl' is 0 throughout"):
        train(tmp_path / 'a', [dict(loss='loss_kl', policy='constant', start=0.0)], losses, 2)
    late = dict(loss='loss_kl', policy='linear', start=0.0, stop=1.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        train(tmp_path / 'b', [late], losses, 2)
    assert not [warning for warning in caught if 'no effect' in str(warning.message)]


@pytest.mark.parametrize('policy', [dict(policy='linear'), dict(policy='cosine', begin=1, end=0.9)])
def test_a_resumed_run_continues(policy, tmp_path):
    schedule = dict(loss='loss_kl', start=4.0, stop=1.0, **policy)
    losses = dict(loss_kl=dict(type='KLDivergence'))
    options = dict(
        epochs=5,
        lr=0.01,
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1), logger=None),
    )
    whole = train(tmp_path, [schedule], losses, **options)
    checkpoint = str(tmp_path / 'epoch_2.pth')
    resumed = train(tmp_path, [schedule], losses, resume=True, load_from=checkpoint, **options)
    for name in ('weight/loss_kl', 'distill.loss_kl'):
        # The log of the first two epochs comes with the checkpoint.
        assert len(history(whole, name)) == len(history(resumed, name)) == 5
        assert history(resumed, name) == pytest.approx(history(whole, name), rel=1e-6)
    assert len(set(np.round(history(whole, 'weight/loss_kl'), 6))) >= 4


class NoWeight(nn.Module):
    def forward(self, preds_S, preds_T):
        return (preds_S - preds_T).square().mean()


@pytest.mark.parametrize('name', ['loss_kd', 'loss_fixed'])
def test_unknown_losses_and_losses_without_weight(name, tmp_path):
    if 'NoWeight' not in RAZOR_MODELS:
        RAZOR_MODELS.register_module(module=NoWeight)
    losses = dict(
        loss_kl=dict(type='KLDivergence'),
        loss_dist=dict(type='DISTLoss'),
        loss_fixed=dict(type='NoWeight'),
    )
    schedule = dict(loss=name, policy='constant', start=1.0)
    with pytest.raises(ValueError, match=f"loss='{name}'") as error:
        train(tmp_path, [schedule], losses, epochs=1)
    # The candidates, and no others.
    assert str(error.value).endswith("['loss_kl', 'loss_dist']")


def test_a_model_without_distiller(tmp_path):
    with pytest.raises(ValueError, match=r'model.distiller.distill_losses.*\[\]$'):
        train(
            tmp_path,
            [dict(loss='loss_kl', policy='constant', start=1.0)],
            dict(),
            epochs=1,
            model=classifier(0),
        )


# --- By iterations --------------------------------------------------------------------------------

KL = dict(loss_kl=dict(type='KLDivergence'))
BY_ITERATIONS = [
    (dict(policy='linear', start=8.0, stop=0.0), [8, 7, 6, 5, 4, 3, 2, 1]),
    (dict(policy='linear', start=4.0, stop=0.0, end=0.5), [4, 3, 2, 1, 0, 0, 0, 0]),
    (
        dict(policy='linear', start=3.0, stop=0.0, begin=0.25, end=0.625),
        [3, 3, 3, 2, 1, 0, 0, 0],
    ),
    (dict(policy='constant', start=2.0, stop=0.0, end=0.75), [2] * 6 + [0] * 2),
    (dict(policy='step', start=1.0, milestones=[0.25, 0.75]), [1, 1] + [0.1] * 4 + [0.01] * 2),
]
COUNTED = [
    (
        dict(policy='linear', start=3.0, stop=0.0, begin=2, end=5),
        [3, 3, 3, 2, 1, 0, 0, 0],
    ),
    (dict(policy='step', start=1.0, milestones=[1, 6]), [1] + [0.1] * 5 + [0.01] * 2),
]


@pytest.mark.parametrize(('options', 'expected'), BY_ITERATIONS)
def test_shares_are_those_of_a_training_by_iterations(options, expected, tmp_path):
    """Without a setting: a share needs no unit."""
    train_cfg = dict(by_epoch=False, max_iters=8)
    runner = train(tmp_path, [dict(options, loss='loss_kl')], KL, None, train_cfg=train_cfg)
    assert history(runner, 'weight/loss_kl') == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize('loop', [dict(by_epoch=False, max_iters=8), dict(max_epochs=4)])
@pytest.mark.parametrize(('options', 'expected'), [*BY_ITERATIONS, *COUNTED])
def test_iterations_are_counted_in_both_loops(options, expected, loop, tmp_path):
    schedule = dict(options, loss='loss_kl', by_epoch=False)
    # Two batches make an epoch.
    train_cfg = dict(dict(by_epoch=True), **loop)
    runner = train(tmp_path, [schedule], KL, None, batch_size=6, train_cfg=train_cfg)
    assert history(runner, 'weight/loss_kl') == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize('options', [dict(), dict(by_epoch=False, begin=1, end=5)])
def test_a_run_by_iterations_continues(options, tmp_path):
    schedule = dict(loss='loss_kl', policy='cosine', start=4.0, stop=1.0, **options)
    checkpoint = dict(type='CheckpointHook', interval=1, by_epoch=False)
    options = dict(
        epochs=None,
        lr=0.01,
        batch_size=6,
        train_cfg=dict(by_epoch=False, max_iters=6),
        default_hooks=dict(checkpoint=checkpoint, logger=None),
    )
    whole = train(tmp_path, [schedule], KL, **options)
    options.update(resume=True, load_from=str(tmp_path / 'iter_3.pth'))
    resumed = train(tmp_path, [schedule], KL, **options)
    for name in ('weight/loss_kl', 'distill.loss_kl'):
        # The log of the first three iterations comes with the checkpoint.
        assert len(history(whole, name)) == len(history(resumed, name)) == 6
        assert history(resumed, name) == pytest.approx(history(whole, name), rel=1e-6)
    assert len(set(np.round(history(whole, 'weight/loss_kl'), 6))) >= 4


@pytest.mark.parametrize(
    ('options', 'key'),
    [
        (dict(begin=1), 'begin=1'),
        (dict(end=3), 'end=3'),
        (dict(policy='step', milestones=[0.5, 2], stop=None), r'milestones\[1\]=2'),
    ],
)
def test_epochs_of_a_training_by_iterations_are_refused(options, key, tmp_path):
    """It has a single epoch, in which the weight would never change."""
    schedule = dict(dict(loss='loss_kl', policy='linear', start=1.0, stop=0.0), **options)
    message = f"'loss_kl': {key} counts epochs.*by_epoch=False"
    with pytest.raises(ValueError, match=message):
        train(tmp_path, [schedule], KL, None, train_cfg=dict(by_epoch=False, max_iters=4))


def test_stopping_at_an_epoch_of_a_training_by_iterations_is_refused(tmp_path):
    """MMRazor's hook would never stop it."""
    train_cfg = dict(by_epoch=False, max_iters=2)
    stop = dict(type='mmrazor.StopDistillHook', stop_epoch=1)
    with pytest.raises(ValueError, match='StopDistillHook: stop_epoch=1 counts epochs'):
        train(tmp_path, [stop], KL, None, train_cfg=train_cfg)
    runner = train(tmp_path, [stop], KL, 2)
    assert runner.model.distillation_stopped
