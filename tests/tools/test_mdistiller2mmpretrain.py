"""Converted networks give the logits of those that they come from."""

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from mmrazor.registry import MODELS as RAZOR_MODELS
from torch import nn

from mdistiller_networks import Published


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('model_converters/mdistiller2mmpretrain.py')


def run(tool, monkeypatch, name, checkpoint, folder):
    """Write, convert and read."""
    src, dst = folder / 'src.pth', folder / 'new' / 'dst.pth'
    torch.save(checkpoint, src)
    monkeypatch.setattr('sys.argv', ['mdistiller2mmpretrain.py', name, str(src), str(dst)])
    tool.main()
    return dst


# One of each kind; the others differ in a number that all families have in common.
NAMES = 'resnet8 resnet20 resnet8x4 ResNet18 ResNet50 wrn_16_1 wrn_16_2 vgg8 vgg11 vgg13 vgg19'
NAMES = [*NAMES.split(), 'MobileNetV2', 'ShuffleV1', 'ShuffleV2']


@pytest.mark.parametrize('name', NAMES)
def test_logits_are_those_of_the_source(tool, tmp_path, monkeypatch, name):
    """By the model that the config in the checkpoint builds."""
    source = Published(name)
    checkpoint = dict(epoch=240, model=source.weights, best_acc=torch.tensor(75.0))
    written = torch.load(run(tool, monkeypatch, name, checkpoint, tmp_path), weights_only=True)
    config = Config.fromstring(written['meta']['cfg'], '.py')
    model = MODELS.build(config.model).eval()
    model.load_state_dict(written['state_dict'])
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        found = model(images, mode='tensor')
    expected = source(images)
    # The images matter far more than the tolerance.
    assert (expected[0] - expected[1]).abs().max() > 1e-2 * expected.abs().max()
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_all_names_of_mdistiller(tool):
    """Each has the depth of its name; residual networks and VGG count differently."""
    assert len(tool.NETWORKS) == 23
    for name in tool.NETWORKS:
        config = tool.build_config(name, 100)['model']
        depth = config['backbone'].get('depth')
        if depth is not None:
            assert str(depth) in name
        # What comes out of the backbone fits the head.
        model = MODELS.build(config).eval()
        assert model(torch.randn(1, 3, 32, 32), mode='tensor').shape == (1, 100)


def test_a_teacher_gets_the_images_of_mdistiller(tool, tmp_path, monkeypatch):
    """Whatever the student gets: its logits are those on mdistiller's own normalisation."""
    source = Published('resnet8')
    checkpoint = run(tool, monkeypatch, 'resnet8', dict(model=source.weights), tmp_path)
    network = tool.build_config('resnet8', 100)['model']
    model = RAZOR_MODELS.build(
        dict(
            type='mmrazor.CheckedSingleTeacherDistill',
            distiller=dict(type='mmrazor.ConfigurableDistiller'),
            architecture=network,
            teacher=network,
            teacher_ckpt=str(checkpoint),
            data_preprocessor=dict(
                type='mmpretrain.ClsDataPreprocessor', mean=[100, 120, 140], std=[30, 60, 90]
            ),
        )
    )
    pixels = torch.randint(0, 256, (3, 3, 32, 32)).float()
    inputs = model.data_preprocessor(dict(inputs=list(pixels)), True)['inputs']
    with torch.no_grad():
        found = model.teacher.eval()(inputs, mode='tensor')
    mean, std = (
        torch.tensor(values)[:, None, None] for values in tool.NORMALIZATIONS[100].values()
    )
    expected = source((pixels / 255 - mean) / std)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_kinds_of_checkpoints(tool):
    """Plain or of several processes, or that of a whole distiller; with other classes."""
    source = Published('vgg8', num_classes=7).weights
    plain, config = tool.convert('vgg8', source)
    assert config['model']['head']['num_classes'] == 7 and 'data_preprocessor' not in config
    for wrapped in (
        {f'module.{key}': value for key, value in source.items()},
        {
            **{f'module.teacher.{key}': torch.zeros(1) for key in source},
            **{f'module.student.{key}': value for key, value in source.items()},
        },
        {key: value for key, value in source.items() if 'num_batches' not in key},
    ):
        found, _ = tool.convert('vgg8', wrapped)
        assert found.keys() == plain.keys()
        assert all(torch.equal(found[key], plain[key]) for key in plain if 'num_b' not in key)


def test_tiny_imagenet_has_its_own_normalisation(tool):
    """Files are loaded as BGR there."""
    preprocessor = tool.build_config('ResNet18', 200)['data_preprocessor']
    assert preprocessor['to_rgb'] and preprocessor['num_classes'] == 200
    assert preprocessor['mean'] == [122.451, 114.2655, 101.3625]


@pytest.mark.parametrize(
    ('name', 'edit', 'words'),
    [
        ('resnet9', lambda sd: None, ["'resnet9'", 'resnet8x4', 'ShuffleV2']),
        ('wrn_16_1', lambda sd: None, ['not of a wrn_16_1', 'layer1.0.conv1.weight']),
        ('resnet8', lambda sd: sd.update(extra=torch.ones(1)), ["'extra'", 'resnet8']),
        ('resnet8', lambda sd: sd.pop('fc.bias'), ['head.fc.bias']),
        ('resnet14', lambda sd: None, ['does not fit a resnet14', 'layer1.1.conv1.weight']),
        ('resnet8x4', lambda sd: None, ['does not fit a resnet8x4', 'size mismatch']),
    ],
)
def test_wrong_names_and_weights(tool, name, edit, words):
    source = dict(Published('resnet8').weights)
    edit(source)
    with pytest.raises(ValueError) as error:
        tool.convert(name, source)
    for word in words:
        assert word in str(error.value)


def test_wrong_files(tool, tmp_path):
    path = tmp_path / 'src.pth'
    with pytest.raises(FileNotFoundError, match='src.pth does not exist'):
        tool.load_state_dict(str(path))
    for content, message in (
        (nn.Linear(1, 1), 'tensors and plain values'),
        (dict(model=nn.Linear(1, 1).state_dict(), other=nn.Linear(1, 1)), 'save `dict'),
        (torch.ones(1), 'no checkpoint of mdistiller'),
        (dict(model=dict(a=1)), 'no checkpoint of mdistiller'),
    ):
        torch.save(content, path)
        with pytest.raises(ValueError, match=message):
            tool.load_state_dict(str(path))
