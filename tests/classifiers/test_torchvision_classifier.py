"""TorchVisionClassifier against torchvision's own networks."""

import amkd_mm  # noqa: F401

# isort: split
import pytest
import torch
import torchvision
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import load_state_dict
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

K = 5


def build(model_name='resnet18', **kwargs):
    torch.manual_seed(0)
    config = dict(_scope_='mmpretrain', type='TorchVisionClassifier', num_classes=K)
    return MODELS.build(dict(config, model_name=model_name, **kwargs)).eval()


@pytest.mark.parametrize('name', ['resnet18', 'squeezenet1_1', 'googlenet'])
def test_checkpoints_of_torchvision_load_and_give_the_same(name):
    network = torchvision.models.get_model(name, num_classes=K).eval()
    weights = network.state_dict()
    if name == 'googlenet':
        weights = {key: value for key, value in weights.items() if not key.startswith('aux')}
    model = build(name)
    model.load_state_dict(weights)
    assert model.state_dict().keys() == weights.keys()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(model(images, mode='tensor'), network(images))


def test_inside_another_model():
    """As the teacher of an algorithm it is saved and loaded with the algorithm."""
    first = nn.ModuleDict(dict(other=nn.Linear(2, 2), teacher=build()))
    second = nn.ModuleDict(dict(other=nn.Linear(2, 2), teacher=build()))
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.normal_()
    weights = first.state_dict()
    load_state_dict(second, dict(weights), strict=True)
    for key, value in second.state_dict().items():
        assert torch.equal(value, weights[key]), key


def test_loss_and_prediction():
    model = build(data_preprocessor=dict(mean=[1.0] * 3, std=[2.0] * 3))
    images = torch.randn(2, 3, 32, 32)
    samples = [DataSample().set_gt_label(label) for label in (1, 4)]
    logits = model.model(images)
    expected = nn.functional.cross_entropy(logits, torch.tensor([1, 4]))
    torch.testing.assert_close(model(images, samples, mode='loss')['loss'], expected)
    predicted = torch.stack([sample.pred_score for sample in model(images, mode='predict')])
    torch.testing.assert_close(predicted, logits.softmax(1))
    assert model.data_preprocessor.std.flatten().tolist() == [2.0] * 3


def test_unknown_names():
    with pytest.raises(ValueError, match=r"'resnet181'.*'resnet18'"):
        build('resnet181')
    # No classifier
    with pytest.raises(ValueError, match='fcn_resnet50'):
        build('fcn_resnet50')


def test_its_loss_is_mmpretrains_in_any_scope():
    config = dict(type='mmpretrain.TorchVisionClassifier', model_name='resnet18', num_classes=K)
    with DefaultScope.overwrite_default_scope('mmrazor'):
        model = MODELS.build(config)
    assert type(model.loss_module).__module__.startswith('mmpretrain')


@pytest.mark.parametrize('name', ['googlenet', 'inception_v3'])
def test_auxiliary_classifiers_of_pretrained_networks(name, tmp_path, monkeypatch):
    """torchvision's weights come with them, and insist on it."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    weights = torchvision.models.get_model_weights(name).DEFAULT
    full = torchvision.models.get_model(name, aux_logits=True, init_weights=False)
    folder = tmp_path / 'hub' / 'checkpoints'
    folder.mkdir(parents=True)
    torch.save(full.state_dict(), folder / weights.url.rpartition('/')[2])
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    config = dict(_scope_='mmpretrain', type='TorchVisionClassifier', model_name=name)
    model = MODELS.build(dict(config, weights='DEFAULT')).train()
    logits = model(torch.randn(2, 3, 96, 96), mode='tensor')
    assert logits.shape == (2, 1000) and model.model.transform_input
    assert not any('aux' in key.lower() for key in model.state_dict())
