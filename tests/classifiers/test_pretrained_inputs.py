"""Pretrained networks of torchvision and timm: their weights stay, their normalisation is known."""

import pytest
import torch
import torchvision
from mmengine.logging import MMLogger
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import MODELS
from mmrazor.registry import MODELS as ALGORITHMS

from amkd_mm.classifiers import expected_normalization, warn_of_other_normalization

timm = pytest.importorskip('timm')

# As timm has them: its ViT was trained on images in [-1, 1].
VIT = dict(mean=[127.5] * 3, std=[127.5] * 3)
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
SMALL = dict(embed_dim=12, depth=1, num_heads=3)


@pytest.fixture
def vit(tmp_path):
    """Config of a small ViT of timm with pretrained weights in a file, and these."""
    path = str(tmp_path / 'vit.pth')
    torch.manual_seed(3)
    network = timm.create_model('vit_tiny_patch16_224', **SMALL)
    torch.save(network.state_dict(), path)
    config = dict(
        _scope_='mmpretrain',
        type='TimmClassifier',
        model_name='vit_tiny_patch16_224',
        pretrained=True,
        pretrained_cfg_overlay=dict(file=path),
        num_classes=1000,
        **SMALL,
    )
    return config, network.state_dict()


@pytest.fixture
def log(caplog):
    MMLogger.get_current_instance().addHandler(caplog.handler)
    yield caplog
    MMLogger.get_current_instance().removeHandler(caplog.handler)


def test_the_runner_keeps_the_weights_of_timm(vit):
    """MMPretrain draws them anew, so that a pretrained network begins from noise."""
    config, weights = vit
    model = MODELS.build(dict(config, num_classes=4))
    model.init_weights()
    other = {key for key, value in model.state_dict().items() if not equal(value, weights[key])}
    assert other == {'head.weight', 'head.bias'}


def equal(one, other):
    return one.shape == other.shape and torch.equal(one, other)


def test_init_cfg_of_a_network_of_timm_is_done(vit, tmp_path):
    """Also of the student and the teacher of a distillation."""
    config, _ = vit
    plain = {key: value for key, value in config.items() if 'pretrained' not in key}
    path = str(tmp_path / 'other.pth')
    torch.manual_seed(4)
    weights = timm.create_model('vit_tiny_patch16_224', **SMALL).state_dict()
    torch.save(weights, path)
    network = dict(plain, init_cfg=dict(type='Pretrained', checkpoint=path))
    algorithm = ALGORITHMS.build(
        dict(
            type='mmrazor.AMKD',
            architecture=network,
            teacher=network,
            distiller=dict(type='mmrazor.ConfigurableDistiller'),
        )
    )
    algorithm.init_weights()
    for model in (algorithm.student, algorithm.teacher):
        found = model.model.state_dict()
        assert all(torch.equal(found[key], weights[key]) for key in weights)


def test_what_libraries_say(vit, tmp_path, monkeypatch):
    config, _ = vit
    assert expected_normalization(MODELS.build(config), config) == VIT
    # The same network, of which nothing is known without the library's weights.
    plain = dict(config, pretrained=False)
    assert expected_normalization(MODELS.build(plain), plain) is None
    inside = dict(config, type='TIMMBackbone')
    outer = dict(type='mmpretrain.ImageClassifier', backbone=inside)
    assert expected_normalization(MODELS.build(outer), outer) == VIT
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    url = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url
    path = tmp_path / 'checkpoints' / url.rpartition('/')[2]
    torch.save(torchvision.models.squeezenet1_1().state_dict(), path)
    squeezenet = dict(type='mmpretrain.TorchVisionClassifier', model_name='squeezenet1_1')
    assert expected_normalization(MODELS.build(squeezenet), squeezenet) is None
    squeezenet['pretrained'] = True
    assert expected_normalization(MODELS.build(squeezenet), squeezenet) == IMAGENET


def test_other_normalization_is_a_warning(vit, log):
    config, _ = vit
    model = MODELS.build(config)
    for settings in (VIT, dict(mean=[127.0], std=[128.0])):
        warn_of_other_normalization('model', model, config, ClsDataPreprocessor(**settings))
    assert not [text for text in log.messages if 'pretrained weights' in text]
    for settings in (IMAGENET, {}):
        warn_of_other_normalization('model', model, config, ClsDataPreprocessor(**settings))
    first, second = [text for text in log.messages if 'pretrained weights' in text]
    assert first.startswith('model: the pretrained weights of vit_tiny_patch16_224')
    assert '`data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5' in first
    assert '`data_preprocessor` has mean=[123.675, 116.28, 103.53]' in first
    assert '`data_preprocessor` has mean=[0.0] and std=[1.0]' in second


@pytest.mark.parametrize('to_rgb', [True, False])
def test_pretrained_teacher_gets_its_own_normalization(vit, to_rgb, log):
    config, _ = vit
    algorithm = ALGORITHMS.build(
        dict(
            type='mmrazor.AMKD',
            architecture=dict(
                type='mmpretrain.TorchVisionClassifier',
                model_name='squeezenet1_1',
            ),
            teacher=config,
            distiller=dict(type='mmrazor.ConfigurableDistiller'),
            data_preprocessor=dict(IMAGENET, to_rgb=to_rgb),
        )
    ).eval()
    pixels = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    inputs = algorithm.data_preprocessor(dict(inputs=pixels))['inputs']
    rgb = pixels.flip(1) if to_rgb else pixels
    own = MODELS.build(config).eval()
    expected = own((rgb.float() - 127.5) / 127.5, mode='tensor')
    torch.testing.assert_close(algorithm.teacher(inputs, mode='tensor'), expected)
    assert algorithm.input_adapters[''].source == 'library'
    assert not [text for text in log.messages if 'Neither the config' in text]


def test_written_normalization_wins_with_a_warning(vit, log):
    config, _ = vit
    algorithm = ALGORITHMS.build(
        dict(
            type='mmrazor.AMKD',
            architecture=dict(type='mmpretrain.TorchVisionClassifier', model_name='squeezenet1_1'),
            teacher=dict(config, data_preprocessor=dict(IMAGENET)),
            distiller=dict(type='mmrazor.ConfigurableDistiller'),
            data_preprocessor=IMAGENET,
        )
    )
    assert not algorithm.input_adapters[''].renormalizes
    (text,) = [text for text in log.messages if 'pretrained weights' in text]
    assert text.startswith('model.teacher: the pretrained weights of vit_tiny')
