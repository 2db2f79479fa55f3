"""Whole iterations: who makes how many, and with which samples."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmrazor.utils import register_all_modules

from amkd_mm.algorithms import AMKD
from amkd_mm.benchmarking.iterations import time_iterations
from amkd_mm.samplers import BoundarySampler

CONFIG = Path(__file__).resolve().parents[2] / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize(('reuse', 'interval'), [(1, 1), (3, 1), (2, 2)])
def test_each_training_makes_its_iterations(reuse, interval, by_epoch, tmp_path, monkeypatch):
    """On a clock that counts the iterations of AMKD's class, each takes a second."""
    register_all_modules(False)
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(
        {
            'model.teacher_ckpt': None,
            'model.teacher.backbone.depth': 8,
            'work_dir': str(tmp_path),
            'log_level': 'ERROR',
            'default_hooks.boundary_samples.reuse': reuse,
            'default_hooks.boundary_samples.interval': interval,
            # There are no samples at the end.
            'default_hooks.boundary_samples.begin': 0.5,
            'train_dataloader.dataset.indices': 128,
        }
    )
    if not by_epoch:
        # As docs/tuning.md has it.
        cfg.train_cfg = dict(by_epoch=False, max_iters=50, val_interval=50)
        cfg.merge_from_dict(
            {
                'param_scheduler': dict(by_epoch=False, milestones=[25, 37]),
                'train_dataloader.sampler': dict(type='InfiniteSampler'),
                'default_hooks.checkpoint': dict(by_epoch=False, interval=50),
                'default_hooks.logger.log_metric_by_epoch': False,
                'log_processor': dict(by_epoch=False),
            }
        )
    made = dict(steps=0, searches=0)

    def count(cls, method, name):
        upstream = getattr(cls, method)

        def counted(*args, **kwargs):
            made[name] += 1
            return upstream(*args, **kwargs)

        monkeypatch.setattr(cls, method, counted)

    count(AMKD, 'train_step', 'steps')
    count(BoundarySampler, '__call__', 'searches')
    found = time_iterations(cfg, rounds=2, warmup=1, now=lambda: made['steps'])
    names = list(found)
    assert names[:3] == ['AMKD, Runner', 'KD, Runner', 'KD, bare PyTorch']
    assert found['AMKD, Runner'] == found['KD, Runner'] == [1, 1]
    assert all(found[name] == [0, 0] for name in names[2:])
    assert made == dict(steps=2 * 3 * reuse * interval, searches=3)
