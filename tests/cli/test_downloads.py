"""Downloads that fail, for real: refused by a port that nobody listens on, or by a server here."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from mmpretrain.registry import DATASETS, MODELS
from PIL import Image

from amkd_mm.cli.downloads import failed_download

ROOT = Path(__file__).parents[2]
# The discard port, on which nothing answers.
REFUSED = 'http://127.0.0.1:9'


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torch."""
    init_default_scope('mmpretrain')
    folder = tmp_path / 'hub'
    (folder / 'checkpoints').mkdir(parents=True)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(folder))
    return folder / 'checkpoints'


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of Hugging Face, without a network."""
    constants = pytest.importorskip('huggingface_hub.constants')
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'models'))
    return tmp_path / 'models'


@pytest.fixture
def server(tmp_path):
    """Serves the files of a folder; others are its status 404."""
    folder = tmp_path / 'served'
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield folder, f'http://127.0.0.1:{one.server_port}'
        one.shutdown()


def text_of(function, cfg):
    """What is said of the error of a function that gets the config."""
    cfg = Config(cfg)
    with pytest.raises(Exception) as caught:  # noqa: PT011 (libraries raise what they like)
        function(cfg)
    found = failed_download(caught.value)
    assert found is not None, repr(caught.value)
    first, second = found.splitlines()
    return first, second


def build(cfg):
    return MODELS.build(cfg.model)


def check(found, key, source, reason, remedy):
    first, second = found
    assert first == f'{key}: {source} could not be downloaded: {reason}'
    assert second == f'Without a network: {remedy}.'


def resnet(**backbone):
    return dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18, **backbone))


# --- Checkpoints ----------------------------------------------------------------------------------


def test_load_from(cache, tmp_path):
    url = f'{REFUSED}/a/net-12345678.pth'
    cfg = dict(load_from=url, model=dict(type='mmpretrain.LeNet5'), work_dir=str(tmp_path))
    runner = Runner.from_cfg(Config(dict(cfg, load_from=None)))

    def load(cfg):
        runner.load_checkpoint(cfg.load_from)

    place = f'save it as {cache}/net-12345678.pth, or give a local path: load_from=PATH'
    check(text_of(load, cfg), 'load_from', url, '[Errno 111] Connection refused', place)


def test_init_cfg(cache):
    url = f'{REFUSED}/net.pth'
    init_cfg = dict(type='Pretrained', checkpoint=url)
    cfg = dict(model=dict(type='Wrapper', teacher=resnet(init_cfg=init_cfg)))
    key = 'model.teacher.backbone.init_cfg.checkpoint'
    place = f'save it as {cache}/net.pth, or give a local path: {key}=PATH'

    def load(cfg):
        MODELS.build(cfg.model.teacher).init_weights()

    check(text_of(load, cfg), key, url, '[Errno 111] Connection refused', place)


def test_teacher_ckpt(cache):
    """The algorithm makes an error of its own of it."""
    url = f'{REFUSED}/teacher.pth'
    model = dict(
        _scope_='mmrazor',
        type='AMKD',
        architecture=dict(type='mmpretrain.TorchVisionClassifier', model_name='squeezenet1_1'),
        teacher=dict(type='mmpretrain.TorchVisionClassifier', model_name='squeezenet1_1'),
        teacher_ckpt=url,
        distiller=dict(type='ConfigurableDistiller'),
    )
    place = f'save it as {cache}/teacher.pth, or give a local path: model.teacher_ckpt=PATH'
    found = text_of(build, dict(model=model))
    check(found, 'model.teacher_ckpt', url, '[Errno 111] Connection refused', place)


def test_status_of_the_server(cache, server):
    url = f'{server[1]}/absent.pth'

    def load(cfg):
        CheckpointLoader.load_checkpoint(cfg.load_from)

    place = f'save it as {cache}/absent.pth, or give a local path: load_from=PATH'
    found = text_of(load, dict(load_from=url))
    check(found, 'load_from', url, 'HTTP status 404 (File not found)', place)


def test_file_that_came_in_part(cache, server):
    """Its name has a hash, as those of torchvision and OpenMMLab do."""
    folder, address = server
    (folder / 'net-12345678.pth').write_bytes(b'a part of it')

    def load(cfg):
        torch.hub.load_state_dict_from_url(cfg.load_from, check_hash=True)

    first, second = text_of(load, dict(load_from=f'{address}/net-12345678.pth'))
    assert 'could not be downloaded: invalid hash value (expected "12345678"' in first
    assert f'save it as {cache}/net-12345678.pth' in second


# --- Networks of libraries ------------------------------------------------------------------------


@pytest.mark.parametrize('setting', [dict(pretrained=True), dict(weights='DEFAULT')])
def test_torchvision(cache, monkeypatch, setting):
    kind = type(torchvision.models.SqueezeNet1_1_Weights.DEFAULT.value)
    weights = torchvision.models.SqueezeNet1_1_Weights.DEFAULT
    url = f'{REFUSED}/squeezenet-b8a52dc0.pth'
    monkeypatch.setattr(weights, '_value_', kind(url, weights.transforms, weights.meta))
    network = dict(type='TorchVisionClassifier', model_name='squeezenet1_1', **setting)
    cfg = dict(model=dict(type='Wrapper', architecture=network))

    def load(cfg):
        MODELS.build(cfg.model.architecture)

    key = f'model.architecture.{next(iter(setting))}'
    place = f'save it as {cache}/squeezenet-b8a52dc0.pth'
    check(text_of(load, cfg), key, url, '[Errno 111] Connection refused', place)


@pytest.mark.parametrize('kind', ['TimmClassifier', 'TIMMBackbone'])
def test_timm_from_hugging_face(hub, kind):
    pytest.importorskip('timm')
    network = dict(type=kind, model_name='resnet10t', pretrained=True)
    cfg = dict(model=dict(type='ImageClassifier', backbone=network))

    def load(cfg):
        MODELS.build(cfg.model.backbone)

    first, second = text_of(load, cfg)
    assert first.startswith('model.backbone.pretrained: ')
    assert 'of the Hugging Face repository timm/resnet10t.c3_in1k could not be downloaded' in first
    assert f'copy {hub}/models--timm--resnet10t.c3_in1k from a machine that has it' in second
    assert "`pretrained_cfg_overlay=dict(file='FILE')`" in second


def test_timm_from_a_url(cache):
    pytest.importorskip('timm')
    url = f'{REFUSED}/resnet.pth'
    overlay = dict(url=url, hf_hub_id=None, source='url')
    network = dict(type='TimmClassifier', model_name='resnet10t', pretrained=True)
    found = text_of(build, dict(model=dict(network, pretrained_cfg_overlay=overlay)))
    place = f'save it as {cache}/resnet.pth'
    check(found, 'model.pretrained', url, '[Errno 111] Connection refused', place)


def test_hugging_face(hub):
    pytest.importorskip('transformers')
    network = dict(type='HuggingFaceClassifier', model_name='someone/net', pretrained=True)
    first, second = text_of(build, dict(model=network))
    assert first.startswith('model.pretrained: config.json of the Hugging Face repository someone/')
    assert f'copy {hub}/models--someone--net from' in second and "model_name='FOLDER'" in second


# --- Data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize('kind', ['CIFAR10', 'MNIST'])
def test_data_set(cache, tmp_path, monkeypatch, kind):
    known = DATASETS.get(kind)
    name = known.filename if kind == 'CIFAR10' else known.train_list[0][0]
    monkeypatch.setattr(known, 'url', f'{REFUSED}/{name}', raising=False)
    monkeypatch.setattr(known, 'url_prefix', f'{REFUSED}/', raising=False)
    inner = dict(type=kind, data_root=str(tmp_path / 'data'))
    cfg = dict(train_dataloader=dict(dataset=dict(type='RepeatDataset', times=2, dataset=inner)))

    def load(cfg):
        DATASETS.build(cfg.train_dataloader.dataset)

    found = text_of(load, cfg)
    folder = tmp_path / 'data'
    remedy = f'save it as {folder}/{name}, or give the folder that has the data as `data_root`'
    key = 'train_dataloader.dataset.dataset.data_root'
    check(found, key, f'{REFUSED}/{name}', '[Errno 111] Connection refused', remedy)


@pytest.mark.parametrize('workers', [0, 1])
def test_images_on_a_server(cache, server, tmp_path, workers):
    folder, address = server
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / 'a.png')
    items = [dict(img_path=f'{address}/{name}', gt_label=0) for name in ('a.png', 'b.png')]
    (tmp_path / 'list.json').write_text(json.dumps(dict(metainfo={}, data_list=items)))
    cfg = dict(
        train_dataloader=dict(
            batch_size=1,
            num_workers=workers,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(
                type='mmpretrain.BaseDataset',
                ann_file=str(tmp_path / 'list.json'),
                pipeline=[dict(type='LoadImageFromFile'), dict(type='mmpretrain.PackInputs')],
            ),
        )
    )

    def load(cfg):
        for _ in Runner.build_dataloader(cfg.train_dataloader):
            pass

    first, second = text_of(load, cfg)
    source = 'an image could not be read from its server' if workers else f'{address}/b.png'
    assert first.startswith(f'download: {source}') and '404' in first
    assert second == 'Without a network: copy the files to a folder and name that instead.'


# --- Files that are not whole ---------------------------------------------------------------------


def test_cached_file_that_is_not_whole(cache):
    whole = cache / 'whole.pth'
    torch.save(dict(weight=torch.randn(1000)), whole)
    data = whole.read_bytes()
    named = cache / f'net-{hashlib.sha256(data).hexdigest()[:8]}.pth'

    def load(cfg):
        CheckpointLoader.load_checkpoint(cfg.load_from)

    for path in (named, cache / 'net.pth'):
        for part in (data[:-100], data[:50], b''):
            path.write_bytes(part)
            first, second = text_of(load, dict(load_from=f'{REFUSED}/{path.name}'))
            assert first.startswith(f'load_from: {path}, which was downloaded before, is not whole')
            assert second.startswith('Delete this file')
        path.write_bytes(data)
        load(Config(dict(load_from=f'{REFUSED}/{path.name}')))


@pytest.mark.skipif(torch.__version__ < (2, 6), reason='torch refuses no objects')
def test_whole_file_with_objects_is_not_said_to_be_damaged(cache):
    for name in ('net.pth', 'other.pth'):
        torch.save(dict(weight=Path('x')), cache / name)
    data = (cache / 'net.pth').read_bytes()
    name = f'net-{hashlib.sha256(data).hexdigest()[:8]}.pth'
    (cache / name).write_bytes(data)
    for one in ('net.pth', name):
        with pytest.raises(Exception, match='Unsupported|not an allowed') as caught:
            CheckpointLoader.load_checkpoint(f'{REFUSED}/{one}')
        assert failed_download(caught.value) is None


def test_part_of_a_file_of_hugging_face(hub):
    pytest.importorskip('timm')
    save_file = pytest.importorskip('safetensors.torch').save_file
    folder = hub / 'models--someone--net'
    snapshot = folder / 'snapshots' / ('a' * 40)
    snapshot.mkdir(parents=True)
    (folder / 'refs').mkdir()
    (folder / 'refs' / 'main').write_text('a' * 40)
    path = snapshot / 'model.safetensors'
    save_file(dict(weight=torch.randn(1000)), path)
    path.write_bytes(path.read_bytes()[:-100])
    overlay = dict(hf_hub_id='someone/net')
    network = dict(type='TimmClassifier', model_name='resnet10t', pretrained=True)
    first, second = text_of(build, dict(model=dict(network, pretrained_cfg_overlay=overlay)))
    assert first.startswith(f'model.pretrained: {path}, which was downloaded before, is not whole')
    assert second.startswith('Delete this file')


# --- Other errors, and the tools ------------------------------------------------------------------


def test_other_errors_are_left_alone(cache, tmp_path):
    """Also those of local files, and of what fails after a download."""
    broken = tmp_path / 'broken.pth'
    broken.write_bytes(b'nothing')
    (cache / 'file.pth').mkdir()
    for path in (tmp_path / 'absent.pth', broken):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            CheckpointLoader.load_checkpoint(str(path))
        assert failed_download(caught.value) is None
    assert failed_download(ConnectionError('of something else')) is None
    assert failed_download(KeyError('x')) is None


def test_train_ends_in_two_lines(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = ['amkd_mm::vanilla/resnet8_1xb64_digits.py']\nload_from = '{REFUSED}/net.pth'\n"
    )
    command = [sys.executable, ROOT / 'tools/train.py', config, '--work-dir', tmp_path / 'work']
    environment = dict(os.environ, TORCH_HOME=str(tmp_path), OMP_NUM_THREADS='1')
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    place = tmp_path / 'hub/checkpoints/net.pth'
    lines = [
        f'load_from: {REFUSED}/net.pth could not be downloaded: [Errno 111] Connection refused',
        f'Without a network: save it as {place}, or give a local path: load_from=PATH.',
    ]
    assert done.stderr.splitlines()[-2:] == lines
    assert 'Traceback' not in done.stderr + done.stdout
    (log,) = (tmp_path / 'work').glob('*/*.log')
    text = log.read_text()
    assert 'Traceback (most recent call last)' in text and lines[0] in text
