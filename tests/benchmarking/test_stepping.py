"""A stepped training is the training of the Runner."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from amkd_mm.benchmarking.stepping import iterations, stepped
from networks import classifier

PIPELINE = [dict(type='PackInputs')]
pytestmark = pytest.mark.usefixtures('mmpretrain_scope')


class Calls(Hook):
    """Notes what is called, and where the training is."""

    def __init__(self):
        self.calls = []

    def note(self, name, runner):
        self.calls.append((name, runner.epoch, runner.iter))

    def before_train(self, runner):
        self.note('before_train', runner)

    def before_train_epoch(self, runner):
        self.note('before_train_epoch', runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.note(batch_idx, runner)


def runner_of(cfg, calls):
    runner = Runner.from_cfg(cfg)
    runner.register_hook(calls)
    return runner


def test_iterations_are_those_of_the_training(tmp_path):
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            work_dir=str(tmp_path),
            experiment_name=f'whole {tmp_path.name}',
            model=classifier(
                num_classes=10,
                data_preprocessor=dict(type='ClsDataPreprocessor', mean=[78.0] * 3, std=[96.0] * 3),
            ),
            train_dataloader=dict(
                batch_size=8,
                num_workers=0,
                dataset=dict(type='Digits', split='train', indices=20, pipeline=PIPELINE),
                sampler=dict(type='DefaultSampler', shuffle=True),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=2),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
            param_scheduler=dict(type='LinearLR', start_factor=0.1, end=5, by_epoch=False),
            randomness=dict(seed=0),
            log_level='ERROR',
        )
    )
    whole, steps = Calls(), Calls()
    runner = runner_of(cfg, whole)
    runner.train()
    stepping = runner_of(stepped(cfg, 'steps'), steps)
    training = iterations(stepping)
    for number in range(1, 7):
        next(training)
        assert stepping.iter == number
    assert steps.calls == whole.calls and len(whole.calls) == 9
    expected = runner.model.state_dict()
    for name, values in stepping.model.state_dict().items():
        assert torch.equal(values, expected[name]), name
    # It goes on where the training ends, and its files are in a folder of their own.
    next(training)
    assert (stepping.epoch, stepping.iter) == (2, 7)
    assert (tmp_path / 'steps').is_dir()
