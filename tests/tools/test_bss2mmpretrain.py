import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import load_checkpoint
from mmpretrain.registry import MODELS
from torch import nn

TOOL = Path(__file__).parents[2] / 'tools' / 'model_converters' / 'bss2mmpretrain.py'
spec = importlib.util.spec_from_file_location('bss2mmpretrain', TOOL)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


def published_state_dict(num_blocks=4, num_classes=10, in_channels=3):
    """Random tensors, none of them at its initial value, under the published names."""

    def norm(prefix, channels):
        return {
            f'{prefix}.weight': torch.rand(channels) + 0.5,
            f'{prefix}.bias': torch.randn(channels) * 0.3,
            f'{prefix}.running_mean': torch.randn(channels) * 0.3,
            f'{prefix}.running_var': torch.rand(channels) + 0.5,
            f'{prefix}.num_batches_tracked': torch.tensor(7),
        }

    def conv(out_channels, in_channels):
        return torch.randn(out_channels, in_channels, 3, 3) * (2 / (9 * out_channels)) ** 0.5

    state_dict = {'conv1.weight': conv(16, in_channels), **norm('bn1', 16)}
    before = 16
    for stage, channels in ((1, 16), (2, 32), (3, 64)):
        for block in range(num_blocks):
            prefix = f'layer{stage}.{block}'
            state_dict[f'{prefix}.conv1.weight'] = conv(channels, before)
            state_dict.update(norm(f'{prefix}.bn1', channels))
            state_dict[f'{prefix}.conv2.weight'] = conv(channels, channels)
            state_dict.update(norm(f'{prefix}.bn2', channels))
            before = channels
    state_dict['linear.weight'] = torch.randn(num_classes, 64)
    state_dict['linear.bias'] = torch.randn(num_classes)
    return state_dict


def published_network(sd, x):
    """The published network in plain PyTorch, from its description and with no code of ours."""

    def norm(x, prefix):
        mean, var = sd[f'{prefix}.running_mean'], sd[f'{prefix}.running_var']
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        return x * sd[f'{prefix}.weight'][:, None, None] + sd[f'{prefix}.bias'][:, None, None]

    x = norm(F.conv2d(x, sd['conv1.weight'], padding=1), 'bn1').relu()
    for stage in (1, 2, 3):
        block = 0
        while f'layer{stage}.{block}.conv1.weight' in sd:
            prefix = f'layer{stage}.{block}'
            stride = 2 if stage > 1 and block == 0 else 1
            out = F.conv2d(x, sd[f'{prefix}.conv1.weight'], stride=stride, padding=1)
            out = norm(out, f'{prefix}.bn1').relu()
            out = norm(F.conv2d(out, sd[f'{prefix}.conv2.weight'], padding=1), f'{prefix}.bn2')
            if stride == 2:
                x = x[:, :, ::2, ::2]
                x = torch.cat([x, torch.zeros_like(x)], dim=1)
            x = (out + x).relu()
            block += 1
    return x.mean((2, 3)) @ sd['linear.weight'].t() + sd['linear.bias']


def run(monkeypatch, src, dst):
    monkeypatch.setattr('sys.argv', ['bss2mmpretrain.py', str(src), str(dst)])
    tool.main()


@pytest.mark.parametrize(
    'depth, num_classes, in_channels, wrapped',
    [
        (26, 10, 3, False),
        (8, 100, 1, True),
    ],
)
def test_converted_classifier_equals_the_published_network(
    tmp_path, monkeypatch, depth, num_classes, in_channels, wrapped
):
    torch.manual_seed(0)
    state_dict = published_state_dict((depth - 2) // 6, num_classes, in_channels)
    src, dst = tmp_path / 'src.pth', tmp_path / 'new' / 'dst.pth'
    torch.save(dict(state_dict=state_dict) if wrapped else state_dict, src)
    run(monkeypatch, src, dst)

    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='CifarResNet', depth=depth, in_channels=in_channels),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead',
                num_classes=num_classes,
                in_channels=64,
                loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
            ),
        )
    ).eval()
    load_checkpoint(model, str(dst), map_location='cpu', strict=True)
    x = torch.randn(4, in_channels, 32, 32)
    with torch.no_grad():
        logits = model(x, mode='tensor')
        expected = published_network(state_dict, x)
    assert expected.std() > 0.1
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_every_tensor_arrives():
    state_dict = published_state_dict()
    converted = tool.convert(state_dict)
    assert len(state_dict) == len(converted) == 152
    for key, value in state_dict.items():
        new_key = key.replace('linear', 'head.fc') if 'linear' in key else f'backbone.{key}'
        assert torch.equal(converted[new_key], value), key


def test_without_num_batches_tracked():
    """PyTorch before 0.4.1 did not save it."""
    state_dict = published_state_dict(1)
    old = {key: value for key, value in state_dict.items() if 'num_batches' not in key}
    converted = tool.convert(old)
    assert converted.keys() == tool.convert(state_dict).keys()
    assert converted['backbone.bn1.num_batches_tracked'] == 0


@pytest.mark.parametrize(
    'edit, words',
    [
        (lambda sd: sd.update({'layer4.0.conv1.weight': torch.ones(1)}), ['layer4.0.conv1.weight']),
        (lambda sd: sd.update({'fc.weight': torch.ones(1)}), ['fc.weight', 'linear']),
        (lambda sd: sd.pop('linear.weight'), ['lacks', 'linear.weight']),
        (lambda sd: sd.pop('linear.bias'), ['head.fc.bias']),
        (lambda sd: sd.pop('layer3.3.conv2.weight'), ['layer3.3.conv2.weight']),
        (lambda sd: sd.update({'layer1.4.conv1.weight': torch.ones(16, 16, 3, 3)}), ['depth=32']),
        (
            lambda sd: sd.update({'layer2.0.conv1.weight': torch.ones(64, 16, 3, 3)}),
            ['layer2.0.conv1.weight', 'shape'],
        ),
        (lambda sd: [sd.pop(key) for key in list(sd) if key.startswith('layer')], ['`depth`']),
    ],
)
def test_wrong_state_dicts(edit, words):
    state_dict = published_state_dict()
    edit(state_dict)
    with pytest.raises(ValueError) as error:
        tool.convert(state_dict)
    for word in words:
        assert word in str(error.value)


def test_wrong_files(tmp_path, monkeypatch):
    src, dst = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    with pytest.raises(FileNotFoundError, match='src.pth does not exist'):
        run(monkeypatch, src, dst)
    torch.save(nn.Linear(1, 1), src)
    with pytest.raises(ValueError, match='net.state_dict'):
        run(monkeypatch, src, dst)
    torch.save(torch.ones(1), src)
    with pytest.raises(ValueError, match='holds a Tensor, not a state dict'):
        run(monkeypatch, src, dst)
    src.write_bytes(b'')
    with pytest.raises(ValueError, match='not a file of tensors'):
        run(monkeypatch, src, dst)
    assert not dst.exists()
