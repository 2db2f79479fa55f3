"""MMEngine's `compile` of a config, in a Runner."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from amkd_mm.compat import compilation

torch2 = pytest.mark.skipif(not hasattr(torch, 'compile'), reason='compiles nothing')


@pytest.mark.parametrize('setting', [True, dict(backend='eager')])
def test_a_distillation_is_trained_as_it_is(make_runner, monkeypatch, setting):
    warnings, weights = [], []
    monkeypatch.setattr(compilation, 'print_log', lambda text, **_: warnings.append(text))
    if hasattr(torch, 'compile'):
        monkeypatch.setattr(torch, 'compile', lambda *_, **__: pytest.fail('it was compiled'))
    for compile in (setting, None):
        runner = make_runner(compile=compile)
        runner.train()
        assert len(runner.message_hub.log_scalars['train/distill.loss_boundary'].data[0]) == 3
        weights.append(list(runner.model.student.state_dict().values()))
    assert all(torch.equal(*pair) for pair in zip(*weights, strict=True))
    (warning,) = warnings
    assert '`model.teacher_compile`' in warning


@torch2
def test_a_plain_classifier_is_compiled(make_runner):
    distillation = make_runner()
    runner = Runner(
        model=distillation.model.student,
        work_dir=distillation.work_dir,
        cfg=Config(dict(compile=dict(backend='eager'))),
        log_level='ERROR',
        experiment_name='plain',
    )
    before = runner.model.train_step
    runner._maybe_compile('train_step')
    assert runner.model.train_step != before
    assert runner.model.train_step.__wrapped__ == before
