"""Runners that leave nothing behind and say nothing."""

from uuid import uuid4

from mmengine.runner import Runner


def quiet_runner(work_dir, **settings):
    """A Runner with seed 0 that neither logs, prints nor saves, unless its settings say so.

    Its name is its own: Runners of one name share their log.
    """
    quiet = dict(
        default_hooks=dict(checkpoint=None, logger=None, timer=None),
        default_scope='mmpretrain',
        randomness=dict(seed=0),
        log_level='ERROR',
        experiment_name=uuid4().hex,
    )
    return Runner(work_dir=str(work_dir), **{**quiet, **settings})
