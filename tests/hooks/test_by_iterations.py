"""A shipped config of AMKD, trained by iterations as docs/tuning.md says."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import save_checkpoint
from mmpretrain.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
ITERATIONS = 8


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """The config of the page, made shorter."""
    folder = tmp_path_factory.mktemp('by_iterations')
    page = (ROOT / 'docs/tuning.md').read_text()
    text = page.split('<!-- test: file by_iterations.py -->\n```python\n')[1].split('```')[0]
    (folder / 'by_iterations.py').write_text(text)
    cfg = Config.fromfile(folder / 'by_iterations.py')
    cfg.merge_from_dict(
        {
            'train_cfg.max_iters': ITERATIONS,
            'train_cfg.val_interval': 4,
            'param_scheduler.milestones': [5],
            'train_dataloader.batch_size': 16,
            'val_dataloader.dataset.indices': 32,
            'default_hooks.checkpoint.interval': 4,
            'default_hooks.logger.interval': 1,
            'default_hooks.boundary_visualization.interval': 3,
            'randomness': dict(seed=0),
            'log_level': 'WARNING',
            'model.teacher_ckpt': str(folder / 'teacher.pth'),
        }
    )
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    teacher = MODELS.build(cfg.model.teacher)
    teacher.init_weights()
    save_checkpoint(dict(state_dict=teacher.state_dict()), cfg.model.teacher_ckpt)
    # The teacher knows nothing: keep what it cannot classify.
    cfg.default_hooks.boundary_samples.update(keep_unreached=True)
    return cfg


def train(config, work_dir, **options):
    cfg = config.copy()
    cfg.merge_from_dict(dict(work_dir=str(work_dir), experiment_name=work_dir.name, **options))
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def history(runner, name):
    return runner.message_hub.log_scalars[f'train/{name}'].data[0].tolist()


def test_every_share_is_one_of_the_iterations(config, tmp_path):
    whole = train(config, tmp_path / 'whole')
    # From 2/9 to 0 at three quarters, which are 6 of 8.
    expected = [2 / 9 * max(0, 1 - i / 6) for i in range(ITERATIONS)]
    assert history(whole, 'weight/loss_boundary') == pytest.approx(expected, abs=1e-9)
    samples = history(whole, 'boundary/samples')
    assert len(samples) == ITERATIONS and samples[6:] == [0, 0] and any(samples[:6])
    assert sorted(path.name for path in (tmp_path / 'whole').glob('iter_*.pth')) == [
        'iter_4.pth',
        'iter_8.pth',
    ]
    pictures = (tmp_path / 'whole').glob('*/vis_data/vis_image/*.png')
    assert sorted(path.name for path in pictures) == [
        'boundary_samples_3.png',
        'boundary_samples_6.png',
    ]

    checkpoint = str(tmp_path / 'whole/iter_4.pth')
    resumed = train(config, tmp_path / 'resumed', resume=True, load_from=checkpoint)
    for name in ('weight/loss_boundary', 'boundary/samples', 'distill.loss_kl', 'student.loss'):
        assert history(resumed, name) == pytest.approx(history(whole, name), rel=1e-5)
    pairs = zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)
