"""MMRazor's own configs, which name mmcls, are those of MMPretrain here."""

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import mmpretrain
import mmrazor
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.datasets import CIFAR10, CIFAR100
from mmpretrain.registry import DATASETS, MODELS, TRANSFORMS
from mmrazor.utils import register_all_modules

from amkd_mm.compat import mmcls

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(mmrazor.__file__).parent / '.mim/configs/distill/mmcls'
CONFIGS = sorted(path for path in FOLDER.rglob('*.py') if 'datasets' not in path.parts)
BATCH, IMAGES = 4, 4


@pytest.fixture(autouse=True)
def register():
    register_all_modules(False)


def read(path):
    """A config of MMRazor with nothing replaced but what has to be downloaded, and small data."""
    cfg = Config.fromfile(path)
    model = cfg.model
    for key in ('teacher_ckpt', 'init_cfg'):
        model.pop(key, None)
    networks = [model.get('architecture'), model.get('teacher')]
    for teacher in model.get('teachers', {}).values():
        teacher.pop('ckpt_path')
        networks.append(teacher.build_cfg)
    for network in filter(None, networks):
        if 'pretrained' in network:
            network.pretrained = False
        if 'pretrained' in network.get('backbone', {}):
            network.backbone.pretrained = False
        network.get('head', {}).pop('init_cfg', None)
    return cfg


def build(cfg):
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        model = cfg.model
        if cfg.get('data_preprocessor'):
            model.setdefault('data_preprocessor', cfg.data_preprocessor)
        return MODELS.build(model)


def test_mmrazor_ships_as_many_configs_as_are_tested():
    assert len(CONFIGS) == 19


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_builds(path):
    if path.stem.startswith('deit'):
        pytest.importorskip('timm')
    model = build(read(path))
    student = getattr(model, 'student', model.architecture)
    assert type(student) is mmpretrain.models.ImageClassifier


@pytest.mark.parametrize('former, present', mmcls.CONFIGS.items())
def test_renamed_configs_are_found(former, present):
    folder = Path(mmpretrain.__file__).parent / '.mim/configs'
    assert (folder / present).is_file() and not (folder / former).exists()
    path, scope = Config._get_cfg_path(f'mmcls::{former}', '')
    assert Path(path) == folder / present and scope in ('mmcls', 'mmpretrain')


def test_a_renamed_config_is_the_present_one():
    cfg = get_config('mmcls::deit/deit-tiny_pt-4xb256_in1k.py')
    assert cfg.model == get_config('mmpretrain::deit/deit-tiny_4xb256_in1k.py').model


@pytest.mark.parametrize('scope', ['mmcls', 'mmpretrain', 'mmrazor'])
def test_classes_are_found_in_any_scope(scope):
    neck = dict(type='mmcls.GlobalAveragePooling')
    scoped = dict(_scope_='mmcls', type='GlobalAveragePooling')
    with DefaultScope.overwrite_default_scope(scope):
        for settings in (neck, scoped):
            assert type(MODELS.build(settings)) is mmpretrain.models.GlobalAveragePooling
        pack = TRANSFORMS.build(dict(type='mmcls.PackClsInputs'))
        assert type(pack) is mmpretrain.datasets.PackInputs


def test_a_class_of_ones_own_is_not_replaced():
    before = TRANSFORMS.get('PackClsInputs')
    assert before is mmpretrain.datasets.PackInputs

    class PackClsInputs:
        pass

    TRANSFORMS.register_module(module=PackClsInputs)
    try:
        assert TRANSFORMS.get('PackClsInputs') is PackClsInputs
    finally:
        del TRANSFORMS._module_dict['PackClsInputs']


def test_one_warning_in_all(monkeypatch):
    lines = []
    monkeypatch.setattr(mmcls, 'print_log', lambda text, **kwargs: lines.append(text))
    mmcls.warn.cache_clear()
    for path in CONFIGS[:2]:
        build(read(path))
    MODELS.get('mmcls.ImageClassifier')
    assert len(lines) == 1 and 'mmcls' in lines[0]
    mmcls.warn.cache_clear()
    Config.fromfile(Path(mmpretrain.__file__).parent / '.mim/configs/resnet/resnet18_8xb32_in1k.py')
    MODELS.get('mmpretrain.ImageClassifier')
    assert len(lines) == 1


def test_modules_are_those_of_mmpretrain(tmp_path):
    from mmcls.models.heads import LinearClsHead
    from mmcls.structures import ClsDataSample

    assert LinearClsHead is mmpretrain.models.LinearClsHead
    assert ClsDataSample is mmpretrain.structures.DataSample
    path = tmp_path / 'config.py'
    path.write_text("custom_imports = dict(imports=['mmcls.models', 'mmcls.evaluation'])")
    Config.fromfile(path)
    with pytest.raises(ModuleNotFoundError, match='mmcls.no_such_module'):
        importlib.import_module('mmcls.no_such_module')


def test_an_installed_mmcls_is_left_alone(tmp_path):
    (tmp_path / 'mmcls').mkdir()
    (tmp_path / 'mmcls/__init__.py').write_text('REAL = True')
    (tmp_path / 'mmcls/registry.py').write_text(
        'from mmengine.registry import MODELS as M, Registry\n'
        "MODELS = Registry('model', parent=M, scope='mmcls')\n"
        '@MODELS.register_module()\nclass Own: pass'
    )
    code = (
        'import amkd_mm, mmcls\n'
        'from mmengine.registry import MODELS\n'
        "print(mmcls.REAL, MODELS.get('mmcls.Own').__module__)"
    )
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(tmp_path), str(ROOT)])}
    found = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True
    )
    assert found.stdout.split()[-2:] == ['True', 'mmcls.registry'], found.stderr


@pytest.mark.parametrize(
    'settings, split',
    [
        (dict(), 'train'),
        (dict(test_mode=False), 'train'),
        (dict(test_mode=True), 'test'),
        (dict(test_mode=True, split='train'), 'train'),
        (dict(split='test'), 'test'),
    ],
)
@pytest.mark.parametrize('name', ['CIFAR10', 'CIFAR100', 'MNIST', 'FashionMNIST'])
def test_test_mode_chooses_the_test_images(name, settings, split, tmp_path):
    dataset = DATASETS.build(
        dict(type=name, data_prefix=str(tmp_path), lazy_init=True, pipeline=[], **settings)
    )
    assert dataset.split == split


def write_imagenet(root):
    """ImageNet's folders, with class numbers in annotation files as there are only two classes."""
    (root / 'meta').mkdir(parents=True)
    noise = np.random.default_rng(0)
    for split in ('train', 'val'):
        (root / split).mkdir()
        for index in range(IMAGES):
            image = noise.integers(0, 256, (256, 320, 3), dtype=np.uint8)
            assert cv2.imwrite(str(root / split / f'{index}.JPEG'), image)
        lines = [f'{index}.JPEG {index % 2}' for index in range(IMAGES)]
        (root / f'meta/{split}.txt').write_text('\n'.join(lines))


def write_cifar(root, kind, monkeypatch):
    """CIFAR's pickled files, which are accepted whatever their checksums are."""
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for key in ('train_list', 'test_list'):
        names = [name for name, _ in getattr(kind, key)]
        monkeypatch.setattr(kind, key, [(name, None) for name in names])
        for number, name in enumerate(names):
            count = 0 if number else IMAGES
            labels = 'fine_labels' if kind is CIFAR100 else 'labels'
            data = noise.integers(0, 256, (count, 3 * 32 * 32), dtype=np.uint8)
            entry = {'data': data, labels: [index % 2 for index in range(count)]}
            (folder / name).write_bytes(pickle.dumps(entry))


def place(dataset, root):
    """Let a data set's config, or that of the one within, read a folder; gives its class."""
    while 'dataset' in dataset:
        dataset.neg_num = 2
        dataset = dataset.dataset
    # As the configs name it: those of mmcls by `data_prefix`.
    dataset['data_root' if 'data_root' in dataset else 'data_prefix'] = str(root)
    return dataset.type.rpartition('.')[2]


class StopAfterAStep(Hook):
    """Ends the training loop after its first iteration."""

    def after_train_iter(self, runner, *args, **kwargs):
        runner.train_loop.stop_training = True


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:size_average', 'ignore:reduction', 'ignore:Detected call')
@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_trains(path, tmp_path, monkeypatch):
    """A step of the whole Runner on data of the format that the config reads, and a validation."""
    if path.stem.startswith('deit'):
        pytest.importorskip('timm')
    cfg = read(path)
    root = tmp_path / 'data'
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(batch_size=BATCH, num_workers=0, persistent_workers=False)
        data = place(loader.dataset, root)
    if data == 'ImageNet':
        write_imagenet(root)
    else:
        write_cifar(root, dict(CIFAR10=CIFAR10, CIFAR100=CIFAR100)[data], monkeypatch)
    # The first iteration is the last one, and no schedule begins after the end of the training.
    cfg.train_cfg.val_interval = 1
    if cfg.train_cfg.by_epoch:
        cfg.train_cfg.max_epochs = 10_000
    cfg.update(work_dir=str(tmp_path), test_dataloader=None, test_cfg=None, test_evaluator=None)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(StopAfterAStep())
    student = getattr(runner.model, 'student', runner.model.architecture)
    runner.model.init_weights()
    before = {name: p.detach().clone() for name, p in student.named_parameters()}
    runner.train()
    moved = [not torch.equal(p, before[name]) for name, p in student.named_parameters()]
    if not cfg.model.get('student_trainable', True):
        # A first stage that prepares the connectors.
        assert not any(moved)
    elif path.stem.startswith('deit'):
        # Its head starts from zeros, where the first gradient ends.
        assert moved[-4:] == [True] * 4
    else:
        # A zero-initialised residual branch stays for a step.
        assert sum(moved) > 0.7 * len(moved)
    assert all(torch.isfinite(p).all() for p in student.parameters())
    assert runner.iter == 1
    scalars = runner.message_hub.log_scalars
    assert any(name.endswith('accuracy/top1') for name in scalars)
    assert all(np.isfinite(found.current()) for name, found in scalars.items() if 'loss' in name)
