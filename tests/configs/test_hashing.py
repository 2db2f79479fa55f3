"""The configs of hashing: the networks alone, and BRCD, on Digits and as published on CIFAR-10."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import save_checkpoint
from mmpretrain.registry import MODELS
from mmrazor.utils import register_all_modules

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
TOOLS = ROOT / 'tools'
BRCD = CONFIGS / 'brcd/brcd_resnet14_resnet8_1xb64_digits.py'
PUBLISHED = CONFIGS / 'brcd/brcd_vit-base_efficientnet-b0_1xb64_cifar10.py'


def test_published_settings():
    """Those of the authors' code and scripts for CIFAR-10."""
    cfg = Config.fromfile(PUBLISHED)
    assert cfg.model.distiller.distill_losses.loss_brcd.to_dict() == dict(
        type='BRCDLoss', temperature=0.3, alpha=0.8, num_clusters=10, margin=0.5
    )
    for network in (cfg.model.architecture, cfg.model.teacher):
        assert network.head.num_bits == 64
    assert cfg.optim_wrapper.optimizer.to_dict() == dict(type='Adam', lr=0.001)
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (400, 64)
    assert cfg.val_evaluator.topk == 1000
    # 5,000 images to learn from, whose codes are clustered, and 50,000 to search.
    assert cfg.train_dataloader.dataset.indices == 5000
    assert cfg.default_hooks.code_clusters.dataloader.dataset.indices == 5000
    assert 'indices' not in cfg.model.architecture.prototype.dataset
    teacher = Config.fromfile(CONFIGS / 'cibhash/cibhash_vit-base_1xb64_cifar10.py')
    assert (teacher.optim_wrapper.optimizer.lr, teacher.train_cfg.max_epochs) == (0.0005, 200)


def run_script(script, *args):
    """What a tool prints."""
    command = [sys.executable, str(TOOLS / script), *map(str, args)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


@pytest.mark.slow
def test_digits_by_the_command_line(tmp_path):
    """Two networks and 16 bits: teacher, distillation, test, and the student alone."""
    few = 'train_dataloader.dataset.indices=64'
    bits = [f'model.{network}.head.num_bits=16' for network in ('architecture', 'teacher')]
    images = [
        f'model.{network}.prototype.dataset.indices=64' for network in ('architecture', 'teacher')
    ]
    epochs = ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1']
    teacher = CONFIGS / 'cibhash/cibhash_resnet14_1xb64_digits.py'
    options = [few, 'model.head.num_bits=16', 'model.prototype.dataset.indices=64', *epochs]
    out = run_script('train.py', teacher, '--work-dir', tmp_path / 't', '--cfg-options', *options)
    assert 'hamming/mAP@100' in out
    options = [few, *bits, *images, *epochs, f'model.teacher_ckpt={tmp_path}/t/epoch_1.pth']
    options += ['default_hooks.code_clusters.dataloader.dataset.indices=64']
    out = run_script('train.py', BRCD, '--work-dir', tmp_path / 's', '--cfg-options', *options)
    assert 'Clusters of the teacher' in out and 'teacher.hamming/mAP@100' in out
    trained = tmp_path / 's/epoch_1.pth'
    tested = run_script('test.py', BRCD, trained, '--cfg-options', *options)
    run_script('export_student.py', BRCD, trained, tmp_path / 'a.pth', '--cfg-options', *options)
    alone = run_script(
        'test.py', tmp_path / 'a.py', tmp_path / 'a.pth', '--work-dir', tmp_path / 'a'
    )
    assert score_in(tested) == score_in(alone) > 0


def score_in(text):
    return float(text.rpartition('hamming/mAP@100: ')[2].split()[0])


@DATASETS.register_module()
class RandomCifar(BaseDataset):
    """Stands in for CIFAR-10: some random images."""

    METAINFO = dict(classes=tuple('0123456789'))

    def load_data_list(self):
        generator = np.random.RandomState(0)
        images = generator.randint(0, 256, (20, 32, 32, 3)).astype(np.uint8)
        return [dict(img=image, gt_label=i % 10) for i, image in enumerate(images)]


def use_random_images(node):
    """Let every data set of a config be random images, and every network begin at random."""
    if isinstance(node, dict):
        node.pop('init_cfg', None)
        if node.get('type') == 'CIFAR10':
            pipeline = node['pipeline']
            node.clear()
            node.update(type='mmengine.RandomCifar', pipeline=pipeline)
        if 'num_workers' in node:
            node.update(num_workers=0, persistent_workers=False, batch_size=10)
        for value in node.values():
            use_random_images(value)
    elif isinstance(node, list):
        for value in node:
            use_random_images(value)


@pytest.mark.slow
def test_the_published_setting_trains_heads_alone(tmp_path):
    """On random images, from networks without ImageNet's weights."""
    register_all_modules(False)
    cfg = Config.fromfile(PUBLISHED)
    use_random_images(cfg._cfg_dict)
    torch.manual_seed(0)
    teacher = MODELS.build(cfg.model.teacher)
    cfg.model.teacher_ckpt = str(tmp_path / 'teacher.pth')
    save_checkpoint(dict(state_dict=teacher.state_dict()), cfg.model.teacher_ckpt)
    cfg.model.distiller.distill_losses.loss_brcd.num_clusters = 2
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=1)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.default_hooks.checkpoint = None
    runner = Runner.from_cfg(cfg)
    # What `train` would otherwise draw anew.
    runner.model.init_weights()
    before = {name: value.clone() for name, value in runner.model.student.state_dict().items()}
    runner.train()
    after = runner.model.student.state_dict()
    moved = {name.partition('.')[0] for name in after if not torch.equal(after[name], before[name])}
    assert moved == {'head'}
    scalars = runner.message_hub.log_scalars
    for name in ('val/hamming/mAP@1000', 'val/teacher.hamming/mAP@1000'):
        assert 0 < scalars[name].current() <= 100
    assert np.isfinite(scalars['train/distill.loss_brcd'].current())
