"""From files of CIFAR-100 and a published teacher to a student's file, by a shipped config."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpretrain import get_model
from mmpretrain.registry import DATASETS, MODELS

from coloured_cifar100 import UNCHECKED, coloured_images, save_teacher, write_cifar100

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/amkd/amkd_resnet56_resnet20_1xb64_cifar100.py'
TEACHER = 'work_dirs/resnet56_1xb64_cifar100/epoch_240.pth'
EPOCHS = 3
# All that is changed: the length of the training, its seed, where the data are and what loads them.
OPTIONS = [
    f'train_cfg.max_epochs={EPOCHS}',
    'param_scheduler.milestones=[2]',
    'randomness.seed=0',
    *(f'{name}_dataloader.dataset.data_root=cifar' for name in ('train', 'val', 'test')),
    *(f'{name}_dataloader.num_workers=0' for name in ('train', 'val', 'test')),
    *(f'{name}_dataloader.persistent_workers=False' for name in ('train', 'val', 'test')),
]


@pytest.fixture
def tool(tmp_path):
    """Runs a tool in a folder with the data; returns what it printed."""
    write_cifar100(tmp_path / 'cifar', dict(train=256, test=64))
    (tmp_path / 'sitecustomize.py').write_text(UNCHECKED)

    def run(name, *args):
        command = [sys.executable, ROOT / 'tools' / name, *map(str, args)]
        env = dict(os.environ, PYTHONPATH=f'{ROOT}{os.pathsep}{tmp_path}', OMP_NUM_THREADS='1')
        streams = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        done = subprocess.run(command, cwd=tmp_path, env=env, timeout=900, **streams)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


def accuracy(log, name=r'(?<!teacher\.)accuracy'):
    return float(re.findall(rf'{name}/top1: (\d+\.\d+)', log)[-1])


@pytest.mark.slow
def test_train_test_and_export(tool, tmp_path):
    save_teacher('resnet56', tmp_path / 'resnet56_vanilla/ckpt_epoch_240.pth')
    converter = 'model_converters/mdistiller2mmpretrain.py'
    tool(converter, 'resnet56', 'resnet56_vanilla/ckpt_epoch_240.pth', TEACHER)

    log = tool('train.py', CONFIG, '--cfg-options', *OPTIONS)
    # Colours whose channels are mixed up would be those of other classes, to a teacher that
    # learned outside of this project.
    assert accuracy(log, r'teacher\.accuracy') > 95
    # A quarter by chance, as there are four of the hundred classes.
    assert accuracy(log) > 75
    checkpoint = f'work_dirs/{CONFIG.stem}/epoch_{EPOCHS}.pth'
    tested = tool('test.py', CONFIG, checkpoint, '--cfg-options', *OPTIONS)
    assert accuracy(tested) == accuracy(log)

    tool('export_student.py', CONFIG, checkpoint, 'student.pth', '--cfg-options', *OPTIONS)
    exported = get_model(str(tmp_path / 'student.py'), str(tmp_path / 'student.pth')).eval()
    images, labels = coloured_images(64, seed=1)
    # As OpenMMLab's models get them: in a list, as they are in the file.
    batch = dict(inputs=list(torch.from_numpy(images)))
    with torch.no_grad():
        logits = exported(exported.data_preprocessor(batch)['inputs'])
    found = logits.argmax(1) == torch.from_numpy(labels)
    assert 100 * found.float().mean().item() == pytest.approx(accuracy(tested), abs=1e-4)

    # By the student within the distillation's checkpoint, with the config's data and normalisation.
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(CONFIG)
    student = MODELS.build(cfg.model.architecture).eval()
    weights = torch.load(tmp_path / checkpoint, weights_only=False)['state_dict']
    prefix = 'architecture.'
    student.load_state_dict(
        {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    )
    preprocessor = MODELS.build(dict(cfg.data_preprocessor, type='ClsDataPreprocessor'))
    dataset = dict(cfg.test_dataloader.dataset, data_root=str(tmp_path / 'cifar'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmpretrain.datasets.CIFAR100.train_list', [['train', None]])
        patch.setattr('mmpretrain.datasets.CIFAR100.test_list', [['test', None]])
        data = DATASETS.build(dataset)
    batch = preprocessor(pseudo_collate([data[index] for index in range(len(data))]))
    with torch.no_grad():
        expected = student(batch['inputs'], mode='tensor')
    assert expected.std() > 0.1
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
