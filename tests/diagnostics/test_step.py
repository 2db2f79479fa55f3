"""What is said of the trial step."""

import torch
from mmengine.config import Config
from mmrazor.registry import HOOKS

from amkd_mm.diagnostics import Report, TrialStep
from amkd_mm.diagnostics.step import check_step, sample_hooks
from amkd_mm.hooks import BoundarySampleHook, LocalDistributionHook


def test_gradients():
    """Where they are missing is a note, unless looked for; where they must not be, a problem."""
    algorithm = torch.nn.Module()

    def check(**settings):
        report = Report()
        step = TrialStep(dict(loss=1.0), {}, ['head.fc.bias'], ['neck.weight'])
        check_step(report, step, algorithm, Config(settings))
        return report

    report = check()
    ((text, write),) = report.notes.items()
    assert 'head.fc.bias' in text and write == 'find_unused_parameters=True'
    assert len(report.problems) == 1 and 'neck.weight' in str(report.problems)
    report = check(find_unused_parameters=True)
    assert not report.notes and len(report.problems) == 1
    wrapped = check(model_wrapper_cfg=dict(type='DDP'))
    assert list(wrapped.notes.values()) == ['model_wrapper_cfg.find_unused_parameters=True']
    algorithm.teacher_trainable = True
    assert not check().problems


def test_hooks_of_a_step():
    """In the Runner's order, for a step whenever it is, and also those of users."""

    @HOOKS.register_module(force=True)
    class OwnSampleHook(LocalDistributionHook):
        """A sample hook of a user."""

    attack = dict(type='BoundarySearch')
    named = dict(
        timer=dict(type='IterTimerHook'),
        off=None,
        own=dict(type='mmrazor.OwnSampleHook', num_samples=2, begin=4),
    )
    listed = [
        dict(type='mmrazor.BoundarySampleHook', attack=attack, student_correct=True, interval=3),
        dict(type='mmrazor.StepSeedHook'),
    ]
    cfg = Config(dict(default_hooks=named, custom_hooks=listed))
    now = dict(begin=0, end=1.0, interval=1)
    assert sample_hooks(cfg) == [
        dict(type=OwnSampleHook, num_samples=2, **now),
        dict(type=BoundarySampleHook, attack=attack, student_correct=False, **now),
    ]
    assert not sample_hooks(Config(dict(custom_hooks=None)))
