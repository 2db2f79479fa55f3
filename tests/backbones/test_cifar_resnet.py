import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

from amkd_mm.backbones import CifarResNet


def classifier(num_classes=10, **backbone):
    return MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='CifarResNet', **backbone),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead',
                num_classes=num_classes,
                in_channels=64,
                loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
            ),
        )
    )


def num_parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    'depth, millions', [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_parameter_counts_of_the_paper(depth, millions):
    """He et al. 2016, table 6."""
    digits = 1 if depth == 110 else 2
    assert round(num_parameters(classifier(depth=depth)) / 1e6, digits) == millions


def test_parameter_count_of_the_published_bss_teacher():
    assert num_parameters(classifier(depth=26)) == 366_938


@pytest.mark.parametrize('depth', [8, 14, 20, 26])
def test_depth_counts_the_weighted_layers(depth):
    layers = [m for m in classifier(depth=depth).modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == depth


def test_module_names():
    keys = set(CifarResNet(depth=8).state_dict())
    convs = {key for key in keys if 'conv' in key}
    assert convs == {'conv1.weight'} | {
        f'layer{i}.0.conv{k}.weight' for i in (1, 2, 3) for k in (1, 2)
    }
    norms = {key.rsplit('.', 1)[0] for key in keys - convs}
    assert norms == {'bn1'} | {f'layer{i}.0.bn{k}' for i in (1, 2, 3) for k in (1, 2)}


def test_shortcut_path_is_option_a():
    """With every residual branch at zero only the shortcuts are left, in closed form."""
    model = CifarResNet(depth=14, out_indices=(0, 1, 2), zero_init_residual=True)
    model.init_weights()
    model.eval()
    x = torch.randn(2, 3, 11, 14)  # Odd and even, and not square.
    with torch.no_grad():
        stem = model.bn1(model.conv1(x)).clamp(min=0)
        outs = model(x)
    for stage, out in enumerate(outs):
        step = 2**stage
        expected = torch.zeros(2, 16 * step, -(-11 // step), -(-14 // step))
        for row in range(expected.shape[2]):
            for column in range(expected.shape[3]):
                expected[:, :16, row, column] = stem[:, :, row * step, column * step]
        torch.testing.assert_close(out, expected)


def test_out_indices_pick_stages():
    torch.manual_seed(0)
    model = CifarResNet(depth=8, out_indices=(0, 1, 2)).eval()
    x = torch.randn(2, 3, 16, 16)
    every = model(x)
    assert [tuple(out.shape) for out in every] == [(2, 16, 16, 16), (2, 32, 8, 8), (2, 64, 4, 4)]
    model.out_indices = (1,)
    single = model(x)
    assert isinstance(single, tuple) and len(single) == 1
    assert torch.equal(single[0], every[1])
    assert len(CifarResNet(depth=8)(x)) == 1
    assert CifarResNet(depth=8)(x)[0].shape == every[2].shape


def test_kaiming_initialisation():
    """Each convolution has the standard deviation sqrt(2 / (9 * out_channels)), as in BSS."""
    torch.manual_seed(0)
    model = CifarResNet(depth=56)
    model.init_weights()
    for stage in (1, 2, 3):
        channels = 8 * 2**stage
        blocks = getattr(model, f'layer{stage}')
        weights = torch.cat([block.conv2.weight.flatten() for block in blocks])
        assert weights.std().item() == pytest.approx((2 / (9 * channels)) ** 0.5, rel=0.03)
        assert weights.mean().abs() < 0.01
    assert all((block.bn2.weight == 1).all() for block in model.layer3)


@pytest.mark.parametrize('training', [True, False])
def test_every_recorded_feature_stays_as_recorded(training):
    """Each module runs once a forward call, and nothing is overwritten afterwards."""
    model = CifarResNet(depth=14).train(training)
    records = {}

    def record(name, tensors):
        for tensor in tensors if isinstance(tensors, tuple) else (tensors,):
            records.setdefault(name, []).append((tensor, tensor.clone()))

    for name, module in model.named_modules():
        # Inputs before the module runs: an in-place module changes its own.
        module.register_forward_pre_hook(lambda m, i, name=name: record(name, i))
        module.register_forward_hook(lambda m, i, o, name=name: record(name, o))
    model(torch.randn(2, 3, 16, 16))

    for name in ('conv1', 'bn1', 'relu', 'layer3', 'layer3.1', 'layer2.0.bn2', 'layer3.1.relu1'):
        assert name in records
    for name, pairs in records.items():
        assert len(pairs) == 2, name  # One input and one output.
        for recorded, copy in pairs:
            assert torch.equal(recorded, copy), name


def test_relu_of_a_block_is_the_one_after_the_addition():
    model = CifarResNet(depth=8).eval()
    features = {}
    relu = model.layer3[0].relu
    relu.register_forward_hook(lambda m, i, o: features.update(before=i[0], after=o))
    (out,) = model(torch.randn(2, 3, 16, 16))
    assert torch.equal(features['after'], out)
    assert features['before'].min() < 0
    assert torch.equal(features['before'].clamp(min=0), out)


def test_frozen_stages_and_norm_eval():
    model = CifarResNet(depth=8, frozen_stages=1).train()
    frozen = {name.split('.')[0] for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {'conv1', 'bn1', 'layer1'}
    assert not model.layer1.training and model.layer2.training

    model = CifarResNet(depth=8, norm_eval=True).train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(torch.randn(4, 3, 8, 8))
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_other_inputs_and_norms():
    model = CifarResNet(depth=8, in_channels=1, norm_cfg=dict(type='GN', num_groups=4))
    assert 'layer1.0.gn1.weight' in model.state_dict()
    assert model(torch.randn(1, 1, 8, 8))[0].shape == (1, 64, 2, 2)


def test_classifier_loss_reaches_every_parameter():
    from mmpretrain.structures import DataSample

    model = classifier(depth=8)
    samples = [DataSample().set_gt_label(i) for i in range(4)]
    model.loss(torch.randn(4, 3, 8, 8), samples)['loss'].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(depth=18), ['`depth`', '[8, 14, 20, 26, 32, 44, 56, 110]', '18']),
        (dict(depth='26'), ['`depth`', "'26'"]),
        (dict(depth=8, out_indices=(3,)), ['`out_indices`', '(3,)']),
        (dict(depth=8, out_indices=()), ['`out_indices`']),
        (dict(depth=8, out_indices=2), ['`out_indices`', '(2, )']),
        (dict(depth=8, frozen_stages=4), ['`frozen_stages`', '4']),
    ],
)
def test_wrong_arguments_name_the_key(kwargs, words):
    with pytest.raises(ValueError) as error:
        MODELS.build(dict(type='CifarResNet', **kwargs))
    for word in words:
        assert word in str(error.value)
