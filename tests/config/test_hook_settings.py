"""Hooks of a config, which stand in two places."""

from mmengine.config import Config
from mmengine.hooks import Hook

from amkd_mm.config.hook_settings import hook_settings
from amkd_mm.hooks import BoundarySampleHook, StepSeedHook

ATTACK = dict(type='BoundarySearch')


def test_both_places():
    cfg = Config(
        dict(
            custom_hooks=[
                dict(type='mmrazor.StepSeedHook', _scope_='mmrazor'),
                dict(type=BoundarySampleHook, attack=ATTACK, num_samples=2),
            ],
            default_hooks=dict(
                off=None,
                absent=dict(type='NoSuchHook'),
                boundary=dict(type='mmrazor.BoundarySampleHook', attack=ATTACK),
            ),
        )
    )
    # Those of `default_hooks` come first, as in a Runner.
    assert list(hook_settings(cfg, BoundarySampleHook)) == [
        (BoundarySampleHook, dict(attack=ATTACK)),
        (BoundarySampleHook, dict(attack=ATTACK, num_samples=2)),
    ]
    assert list(hook_settings(cfg, StepSeedHook)) == [(StepSeedHook, {})]
    assert len(list(hook_settings(cfg, Hook))) == 3


def test_no_hooks():
    assert not list(hook_settings(Config(dict(default_hooks=None, custom_hooks=None)), Hook))
    assert not list(hook_settings(Config({}), Hook))
