"""What the networks of the distillation literature have in common, and their published sizes."""

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from mmrazor.models.architectures.backbones.wideresnet import WideResNet
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from amkd_mm.recorders import EmbeddingRecorder, StagesRecorder
from amkd_mm.teachers.folded_teacher import FoldedTeacher

NARROW, WIDE = dict(type='CifarResNet', depth=8, shortcut='B'), dict(stem_channels=32)
# The backbone of each, its width, its stages for recorders, and channels and size of these for
# images of 32 x 32.
NETWORKS = dict(
    resnet8=(NARROW, 64, 'layer1 layer2 layer3', [(16, 32), (32, 16), (64, 8)]),
    resnet8x4=(
        dict(NARROW, stem_channels=32, base_channels=64),
        256,
        'layer1 layer2 layer3',
        [(64, 32), (128, 16), (256, 8)],
    ),
    wrn_16_2=(
        dict(type='CifarWideResNet', depth=16, widen_factor=2),
        128,
        'layer1 layer2 layer3',
        [(32, 32), (64, 16), (128, 8)],
    ),
    vgg8=(
        dict(type='CifarVGG', depth=8),
        512,
        'layer1 layer2 layer3 layer4 layer5',
        [(64, 32), (128, 16), (256, 8), (512, 4), (512, 4)],
    ),
    mobilenet_v2=(
        dict(type='CifarMobileNetV2', widen_factor=0.5),
        1280,
        'layer2 layer3 layer5 layer7 conv2',
        [(12, 16), (16, 8), (48, 4), (160, 2), (1280, 2)],
    ),
    mobilenet_v1=(
        dict(type='MobileNetV1'),
        1024,
        'layer1 layer2 layer3 layer4 layer5',
        [(64, 16), (128, 8), (256, 4), (512, 2), (1024, 1)],
    ),
    shufflenet_v1=(
        dict(type='CifarShuffleNetV1'),
        960,
        'layer1 layer2 layer3',
        [(240, 16), (480, 8), (960, 4)],
    ),
    shufflenet_v2=(
        dict(type='CifarShuffleNetV2'),
        1024,
        'layers.0 layers.1 layers.2 layers.3',
        [(116, 16), (232, 8), (464, 4), (1024, 4)],
    ),
)


def classifier(backbone, width, num_classes=100):
    return MODELS.build(
        dict(
            _scope_='mmpretrain',
            type='ImageClassifier',
            backbone=backbone,
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=num_classes, in_channels=width),
        )
    )


def trained(name):
    """A classifier whose batch norm is not the identity, and whose logits spread."""
    torch.manual_seed(0)
    backbone, width, *_ = NETWORKS[name]
    model = classifier(backbone, width)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            # Its statistics are those of the one batch below.
            module.momentum = 1.0
    nn.init.normal_(model.head.fc.weight, 0, 0.1)
    model.train()(torch.randn(8, 3, 32, 32), mode='tensor')
    return model.eval()


def number(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ('backbone', 'width', 'num_classes', 'millions'),
    [
        # Zagoruyko and Komodakis, tables 4 and 5.
        (dict(type='CifarWideResNet', depth=40, widen_factor=1), 64, 10, 0.6),
        (dict(type='CifarWideResNet', depth=40, widen_factor=2), 128, 10, 2.2),
        (dict(type='CifarWideResNet', depth=16, widen_factor=8), 512, 10, 11.0),
        # Howard et al., table 8.
        (dict(type='MobileNetV1'), 1024, 1000, 4.2),
    ],
)
def test_published_sizes(backbone, width, num_classes, millions):
    assert round(number(classifier(backbone, width, num_classes)) / 1e6, 1) == millions


@pytest.mark.parametrize('depth', [8, 11, 13, 16, 19])
def test_depth_of_vgg_counts_three_layers_of_a_classifier(depth):
    model = MODELS.build(dict(type='mmpretrain.CifarVGG', depth=depth))
    assert sum(isinstance(module, nn.Conv2d) for module in model.modules()) == depth - 3


def test_projection_shortcuts():
    """Option B adds a 1x1 convolution and batch norm where the shape changes, and only there."""
    plain, projected = (
        MODELS.build(dict(type='mmpretrain.CifarResNet', depth=20, shortcut=s)) for s in 'AB'
    )
    added = projected.state_dict().keys() - plain.state_dict().keys()
    assert {name.rsplit('.', 1)[0] for name in added} == {
        f'layer{stage}.0.downsample.{index}' for stage in (2, 3) for index in (0, 1)
    }
    # 16 * 32 and 32 * 64 weights, and two numbers a channel of batch norm.
    assert number(projected) - number(plain) == 512 + 64 + 2048 + 128
    # That of ResNet8x4 widens already in its first stage.
    wide = MODELS.build(dict(type='mmpretrain.CifarResNet', depth=8, **WIDE, base_channels=64))
    assert wide.layer1[0].downsample.extra_channels == 32


@pytest.mark.parametrize(('depth', 'widen_factor'), [(16, 1), (16, 2), (40, 1)])
def test_wide_resnet_is_that_of_mmrazor(depth, widen_factor):
    """It has the same names of weights, and is in place but otherwise the same function."""
    torch.manual_seed(0)
    theirs = WideResNet(depth, widen_factor).train()
    ours = MODELS.build(
        dict(type='mmpretrain.CifarWideResNet', depth=depth, widen_factor=widen_factor)
    )
    for module in theirs.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(4, 3, 16, 16)
    for mode in (True, False):
        (expected,), (found,) = theirs.train(mode)(images), ours.train(mode)(images)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('name', NETWORKS)
def test_recorders_serve_it(name):
    """`Stages` has the maps of the stages, and `Embedding` their global average, at every call."""
    _, width, stages, shapes = NETWORKS[name]
    model = trained(name)
    recorder = StagesRecorder([f'backbone.{stage}' for stage in stages.split()])
    embedding = EmbeddingRecorder()
    for one in (recorder, embedding):
        one.initialize(model)
    batches = torch.randn(2, 3, 3, 32, 32)
    with torch.no_grad(), recorder, embedding:
        outputs = [model.backbone(batch)[-1] for batch in batches]
        recorder.data_buffer.clear()
        logits = [model(batch, mode='tensor') for batch in batches]
    for index, output in enumerate(outputs):
        found = recorder.get_record_data(index)
        assert [tuple(one.shape[1:]) for one in found] == [(c, s, s) for c, s in shapes]
        features = embedding.get_record_data(index)
        torch.testing.assert_close(features, output.mean((2, 3)))
        torch.testing.assert_close(model.head.fc(features), logits[index])
        # The pre-activation of WRN is what its last stage gives.
        last = found[-1]
        if name == 'wrn_16_2':
            assert last.min() < 0
            last = model.backbone.bn1(last).relu()
        torch.testing.assert_close(last, output)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('name', NETWORKS)
def test_every_recorded_feature_stays_as_recorded(name, training):
    """Each module that is used runs once a forward call, and nothing is overwritten afterwards."""
    backbone, *_ = NETWORKS[name]
    model = MODELS.build(dict(backbone, _scope_='mmpretrain')).train(training)
    records = {}

    def record(name, tensors):
        for tensor in tensors if isinstance(tensors, tuple) else (tensors,):
            records.setdefault(name, []).append((tensor, tensor.clone()))

    for key, module in model.named_modules():
        module.register_forward_pre_hook(lambda m, i, key=key: record(key, i))
        module.register_forward_hook(lambda m, i, o, key=key: record(key, o))
    model(torch.randn(2, 3, 32, 32))
    # MMPretrain's list of stages, and a module of its residual blocks for what they do not do.
    names = {key for key, _ in model.named_modules() if not key.endswith(('layers', 'drop_path'))}
    assert names == {*records}
    for key, pairs in records.items():
        assert len(pairs) == 2, key  # One input and one output.
        for recorded, copy in pairs:
            assert torch.equal(recorded, copy), key


@pytest.mark.parametrize('name', NETWORKS)
def test_a_teacher_of_it_runs_as_a_folded_copy(name):
    """Also where batch norm comes before the convolution, as in WRN."""
    model = trained(name)
    fast = FoldedTeacher(model)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        fast(images)
        assert fast._folded is not model
        found, expected = fast(images.flip(0)), model(images.flip(0), mode='tensor')
    assert expected.std() > 0.01
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize('name', NETWORKS)
def test_loss_reaches_every_parameter(name):
    backbone, width, *_ = NETWORKS[name]
    model = classifier(backbone, width).train()
    assert model.eval() is model and model.train() is model
    samples = [DataSample().set_gt_label(index) for index in range(4)]
    model.loss(torch.randn(4, 3, 32, 32), samples)['loss'].backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize('name', NETWORKS)
def test_frozen_stages_and_norm_eval(name):
    backbone, _, stages, _ = NETWORKS[name]
    model = MODELS.build(dict(backbone, _scope_='mmpretrain', frozen_stages=2)).train()
    frozen = {key for key, p in model.named_parameters() if not p.requires_grad}
    first, second, third = (
        ('layers.0.', 'layers.1.', 'layers.2.')
        if 'layers.0' in stages
        else ('layer1.', 'layer2.', 'layer3.')
    )
    stem = ('conv1.', 'bn1.') if name.startswith('resnet') else ('conv1.',)
    expected = {
        key for key, _ in model.named_parameters() if key.startswith((*stem, first, second))
    }
    assert frozen == expected
    modules = dict(model.named_modules())
    assert not modules[second.strip('.')].training and modules[third.strip('.')].training

    model = MODELS.build(dict(backbone, _scope_='mmpretrain', norm_eval=True)).train()
    before = {key: buffer.clone() for key, buffer in model.named_buffers()}
    model(torch.randn(2, 3, 32, 32))
    assert all(torch.equal(buffer, before[key]) for key, buffer in model.named_buffers())


@pytest.mark.parametrize('name', ['wrn_16_2', 'vgg8', 'mobilenet_v2', 'mobilenet_v1'])
def test_kaiming_initialisation(name):
    """Each convolution has the standard deviation sqrt(2 / (k * k * out_channels))."""
    torch.manual_seed(0)
    backbone, *_ = NETWORKS[name]
    model = MODELS.build(dict(backbone, _scope_='mmpretrain'))
    model.init_weights()
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 4000:
            size = module.kernel_size[0] ** 2 * module.out_channels
            assert module.weight.std().item() == pytest.approx((2 / size) ** 0.5, rel=0.05)


@pytest.mark.parametrize('name', ['shufflenet_v1', 'shufflenet_v2'])
def test_initialisation_of_pytorch(name):
    """Uniform within 1 / sqrt(inputs), and as it was before `init_weights`."""
    backbone, *_ = NETWORKS[name]
    model = MODELS.build(dict(backbone, _scope_='mmpretrain'))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.init_weights()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    weight = model.conv1.conv.weight
    assert weight.abs().max() <= 3**-0.5 and weight.abs().max() > 0.9 * 3**-0.5


@pytest.mark.parametrize(
    ('config', 'words'),
    [
        (dict(type='CifarResNet', depth=8, shortcut='C'), ['`shortcut`', "'C'"]),
        (dict(type='CifarResNet', depth=8, stem_channels=32), ['`stem_channels`', "shortcut='B'"]),
        (dict(type='CifarWideResNet', depth=18), ['`depth`', '6n + 4', '18']),
        (dict(type='CifarWideResNet', depth=4), ['`depth`', '4']),
        (dict(type='CifarWideResNet', depth=16, widen_factor=0.5), ['`widen_factor`', '0.5']),
        (dict(type='CifarVGG', depth=9), ['`depth`', '[8, 11, 13, 16, 19]', '9']),
        (dict(type='CifarMobileNetV2', widen_factor=0.01), ['`widen_factor`', '1/16', '0.01']),
        (dict(type='CifarMobileNetV2', strides=(1, 2)), ['`strides`', '7', '(1, 2)']),
        (dict(type='CifarVGG', depth=8, out_indices=(5,)), ['CifarVGG', '`out_indices`', '(5,)']),
        (dict(type='MobileNetV1', out_indices=4), ['MobileNetV1', '`out_indices`', '(4, )']),
        (dict(type='CifarShuffleNetV1', frozen_stages=4), ['`frozen_stages`', 'up to 3', '4']),
    ],
)
def test_wrong_arguments_name_the_key(config, words):
    with pytest.raises(ValueError) as error:
        MODELS.build(dict(config, _scope_='mmpretrain'))
    for word in words:
        assert word in str(error.value)
