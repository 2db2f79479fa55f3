"""Converted networks give the logits of those that they come from."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmpretrain.registry import MODELS
from mmrazor.registry import MODELS as RAZOR_MODELS
from torch import nn


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('model_converters/mdistiller2mmpretrain.py')


class Published:
    """Networks of mdistiller as functions, from their description and with no module of ours.

    The first call draws the weights by the published names, none at its initial value.
    """

    def __init__(self, name, num_classes=100):
        torch.manual_seed(0)
        self.weights, self.num_classes = {}, num_classes
        self.forward = {
            'resnet': self.resnet,
            'ResNet': self.big_resnet,
            'wrn': self.wrn,
            'vgg': self.vgg,
            'MobileNetV2': self.mobilenet_v2,
            'ShuffleV1': self.shufflenet_v1,
            'ShuffleV2': self.shufflenet_v2,
        }[name if name[-2] == 'V' else name.rstrip('0123456789x_')]
        self.name = name
        self(torch.randn(1, 3, 32, 32))

    def __call__(self, images):
        with torch.no_grad():
            return self.forward(images)

    # Layers

    def get(self, name, draw):
        if name not in self.weights:
            self.weights[name] = draw()
        return self.weights[name]

    def conv(self, x, name, channels, size=3, stride=1, groups=1, bias=False):
        shape = (channels, x.shape[1] // groups, size, size)
        scale = (2 / (size * size * shape[1])) ** 0.5
        weight = self.get(f'{name}.weight', lambda: torch.randn(shape) * scale)
        bias = self.get(f'{name}.bias', lambda: torch.randn(channels)) if bias else None
        return F.conv2d(x, weight, bias, stride, size // 2, groups=groups)

    def norm(self, x, name):
        number = x.shape[1]
        mean = self.get(f'{name}.running_mean', lambda: torch.randn(number) * 0.3)
        var = self.get(f'{name}.running_var', lambda: torch.rand(number) + 0.5)
        scale = self.get(f'{name}.weight', lambda: torch.rand(number) + 0.5)
        shift = self.get(f'{name}.bias', lambda: torch.randn(number) * 0.3)
        self.get(f'{name}.num_batches_tracked', lambda: torch.tensor(7))
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        return x * scale[:, None, None] + shift[:, None, None]

    def linear(self, x, name):
        features = x.mean((2, 3))
        shape = (self.num_classes, features.shape[1])
        weight = self.get(f'{name}.weight', lambda: torch.randn(shape) * shape[1] ** -0.5)
        return features @ weight.T + self.get(f'{name}.bias', lambda: torch.randn(shape[0]))

    @staticmethod
    def shuffle(x, groups):
        """Channel c of group g goes to place c * groups + g."""
        size = x.shape[1] // groups
        order = [group * size + channel for channel in range(size) for group in range(groups)]
        return x[:, order]

    # Networks

    def resnet(self, x):
        depth, _, factor = self.name.removeprefix('resnet').partition('x')
        widths = [32, 64, 128, 256] if factor else [16, 16, 32, 64]
        x = self.norm(self.conv(x, 'conv1', widths[0]), 'bn1').relu()
        for stage in (1, 2, 3):
            for block in range((int(depth) - 2) // 6):
                at, width = f'layer{stage}.{block}', widths[stage]
                stride = 2 if stage > 1 and block == 0 else 1
                out = self.norm(self.conv(x, f'{at}.conv1', width, 3, stride), f'{at}.bn1').relu()
                out = self.norm(self.conv(out, f'{at}.conv2', width), f'{at}.bn2')
                if stride == 2 or x.shape[1] != width:
                    x = self.conv(x, f'{at}.downsample.0', width, 1, stride)
                    x = self.norm(x, f'{at}.downsample.1')
                x = (out + x).relu()
        return self.linear(x, 'fc')

    def big_resnet(self, x):
        bottleneck = self.name == 'ResNet50'
        x = self.norm(self.conv(x, 'conv1', 64), 'bn1').relu()
        for stage, blocks in enumerate((3, 4, 6, 3) if bottleneck else (2, 2, 2, 2), 1):
            for block in range(blocks):
                at, width = f'layer{stage}.{block}', 32 * 2**stage
                stride = 2 if stage > 1 and block == 0 else 1
                # Width, size and stride of each convolution.
                layers = [(width, 3, stride), (width, 3, 1)]
                if bottleneck:
                    layers = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
                out = x
                for index, layer in enumerate(layers, 1):
                    out = self.norm(self.conv(out, f'{at}.conv{index}', *layer), f'{at}.bn{index}')
                    out = out.relu() if index < len(layers) else out
                if x.shape != out.shape:
                    x = self.conv(x, f'{at}.shortcut.0', out.shape[1], 1, stride)
                    x = self.norm(x, f'{at}.shortcut.1')
                x = (out + x).relu()
        return self.linear(x, 'linear')

    def wrn(self, x):
        _, depth, factor = self.name.split('_')
        x = self.conv(x, 'conv1', 16)
        for stage in (1, 2, 3):
            for block in range((int(depth) - 4) // 6):
                at, width = f'block{stage}.layer.{block}', 8 * 2**stage * int(factor)
                stride = 2 if stage > 1 and block == 0 else 1
                active = self.norm(x, f'{at}.bn1').relu()
                out = self.conv(active, f'{at}.conv1', width, 3, stride)
                out = self.conv(self.norm(out, f'{at}.bn2').relu(), f'{at}.conv2', width)
                if x.shape[1] != width:
                    x = self.conv(active, f'{at}.convShortcut', width, 1, stride)
                x = out + x
        return self.linear(self.norm(x, 'bn1').relu(), 'fc')

    def vgg(self, x):
        numbers = {8: '11111', 11: '11222', 13: '22222', 16: '22333', 19: '22444'}
        for block, number in enumerate(map(int, numbers[int(self.name[3:])])):
            if block in (1, 2, 3):
                x = F.max_pool2d(x, 2)
            for index in range(number):
                at, width = f'block{block}', (64, 128, 256, 512, 512)[block]
                x = self.conv(x, f'{at}.{3 * index}', width, bias=True)
                x = self.norm(x, f'{at}.{3 * index + 1}').relu()
        return self.linear(x, 'classifier')

    def mobilenet_v2(self, x):
        x = self.norm(self.conv(x, 'conv1.0', 16, 3, 2), 'conv1.1').relu()
        settings = [(1, 8, 1, 1), (6, 12, 2, 1), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1)]
        settings += [(6, 80, 3, 2), (6, 160, 1, 1)]
        for stage, (ratio, width, number, first_stride) in enumerate(settings):
            for block in range(number):
                at, hidden = f'blocks.{stage}.{block}.conv', x.shape[1] * ratio
                stride = first_stride if block == 0 else 1
                out = self.norm(self.conv(x, f'{at}.0', hidden, 1), f'{at}.1').relu()
                out = self.conv(out, f'{at}.3', hidden, 3, stride, groups=hidden)
                out = self.norm(out, f'{at}.4').relu()
                out = self.norm(self.conv(out, f'{at}.6', width, 1), f'{at}.7')
                x = out + x if stride == 1 and x.shape[1] == width else out
        x = self.norm(self.conv(x, 'conv2.0', 1280, 1), 'conv2.1').relu()
        return self.linear(x, 'classifier.0')

    def shufflenet_v1(self, x):
        x = self.norm(self.conv(x, 'conv1', 24, 1), 'bn1').relu()
        for stage, number in enumerate((4, 8, 4), 1):
            for block in range(number):
                at, width = f'layer{stage}.{block}', 120 * 2**stage
                stride = 2 if block == 0 else 1
                new = width - x.shape[1] if stride == 2 else width
                groups = 1 if x.shape[1] == 24 else 3
                out = self.conv(x, f'{at}.conv1', new // 4, 1, groups=groups)
                out = self.shuffle(self.norm(out, f'{at}.bn1').relu(), groups)
                out = self.conv(out, f'{at}.conv2', new // 4, 3, stride, groups=new // 4)
                out = self.norm(out, f'{at}.bn2').relu()
                out = self.norm(self.conv(out, f'{at}.conv3', new, 1, groups=3), f'{at}.bn3')
                if stride == 2:
                    x = torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1).relu()
                else:
                    x = (out + x).relu()
        return self.linear(x, 'linear')

    def shufflenet_v2(self, x):
        def step(x, at, index, width, size=1, stride=1, active=True):
            groups = width if size == 3 else 1
            x = self.conv(x, f'{at}.conv{index}', width, size, stride, groups)
            x = self.norm(x, f'{at}.bn{index}')
            return x.relu() if active else x

        x = self.norm(self.conv(x, 'conv1', 24, 1), 'bn1').relu()
        for stage, number in enumerate((4, 8, 4), 1):
            width = 58 * 2 ** (stage - 1)
            for block in range(number):
                at = f'layer{stage}.{block}'
                if block == 0:
                    left = step(x, at, 1, x.shape[1], 3, 2, active=False)
                    left = step(left, at, 2, width)
                    right = step(x, at, 3, width)
                    right = step(right, at, 4, width, 3, 2, active=False)
                    right = step(right, at, 5, width)
                else:
                    left, right = x[:, :width], step(x[:, width:], at, 1, width)
                    right = step(step(right, at, 2, width, 3, active=False), at, 3, width)
                x = self.shuffle(torch.cat([left, right], 1), 2)
        x = self.norm(self.conv(x, 'conv2', 1024, 1), 'bn2').relu()
        return self.linear(x, 'linear')


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
