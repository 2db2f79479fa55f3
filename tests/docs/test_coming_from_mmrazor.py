"""What docs/coming_from_mmrazor.md says of a run that MMRazor's own algorithm began."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from mmrazor.utils import register_all_modules

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs/coming_from_mmrazor.md').read_text()


def run(tmp_path, algorithm, epochs, **settings):
    """A Runner on a few digits, of KD by an algorithm of that type."""
    register_all_modules(False)
    cfg = Config.fromfile(ROOT / 'configs/kd/kd_logits_resnet26_resnet8_1xb64_digits.py')
    cfg.model.type = algorithm
    cfg.model.teacher_ckpt = None
    cfg.model.teacher.backbone.depth = 8
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.indices = 128
    cfg.train_cfg.max_epochs = epochs
    cfg.merge_from_dict(dict(work_dir=str(tmp_path), **settings))
    cfg.experiment_name = f'{algorithm}_{epochs}_{len(settings)}'
    return Runner.from_cfg(cfg)


@pytest.mark.filterwarnings('ignore')
def test_a_checkpoint_and_a_work_folder_go_on_as_amkd(tmp_path):
    first = run(tmp_path, 'SingleTeacherDistill', 1)
    first.train()
    metrics = first.val_loop.run() or {}
    before = first.model.state_dict()
    momenta = first.optim_wrapper.optimizer.state_dict()['state']

    # `--resume` without a file: MMEngine's own look into the work folder.
    second = run(tmp_path, 'AMKD', 2, resume=True)
    second.load_or_resume()
    assert second.model.state_dict().keys() == before.keys()
    for name, tensor in second.model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    assert second.epoch == 1
    second.train()
    assert second.epoch == 2
    found = second.optim_wrapper.optimizer.state_dict()['state']
    assert found.keys() == momenta.keys()

    path = str(tmp_path / 'epoch_1.pth')
    tested = [run(tmp_path, kind, 3, load_from=path) for kind in ('SingleTeacherDistill', 'AMKD')]
    expected, accuracies = (runner.test() for runner in tested)
    assert accuracies == expected
    assert not metrics or metrics['accuracy/top1'] == pytest.approx(accuracies['accuracy/top1'])


@pytest.mark.filterwarnings('ignore')
def test_the_config_that_adds_amkd_makes_a_step(tmp_path):
    (text,) = re.findall(r'<!-- test: file kd_plus_amkd.py -->\n```python\n(.*?)```', PAGE, re.S)
    path = tmp_path / 'kd_plus_amkd.py'
    path.write_text(text)
    register_all_modules(False)
    cfg = Config.fromfile(path)
    assert cfg.model.pop('teacher_ckpt')
    cfg.model.teacher.pretrained = False
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    samples = [DataSample().set_gt_label(index % 2) for index in range(3)]
    images = torch.randn(3, 3, 32, 32)
    losses = model.loss(images, samples)
    assert {'student.loss', 'distill.loss_kl'} <= losses.keys()
    assert type(model).__name__ == 'AMKD'
