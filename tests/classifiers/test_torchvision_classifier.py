"""TorchVisionClassifier against torchvision's own networks."""

import re

import pytest
import torch
import torchvision
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import load_state_dict
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from amkd_mm.classifiers.torchvision_classifier import find_weights

K = 5
NAMES = torchvision.models.list_models(module=torchvision.models)


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


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Puts random weights where torchvision looks for its own, so that nothing is downloaded."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))

    def put(name, weights='DEFAULT'):
        torch.manual_seed(1)
        weights = torchvision.models.get_model_weights(name)[weights]
        auxiliary = dict(init_weights=False) if name in ('googlenet', 'inception_v3') else {}
        network = torchvision.models.get_model(name, **auxiliary)
        path = tmp_path / 'checkpoints' / weights.url.rpartition('/')[2]
        path.parent.mkdir(exist_ok=True)
        torch.save(network.state_dict(), path)
        return network.state_dict()

    return put


# One for each way in which torchvision names the layer of class scores.
CLASS_LAYERS = dict(
    resnet18=['fc.weight', 'fc.bias'],
    shufflenet_v2_x0_5=['fc.weight', 'fc.bias'],
    mobilenet_v3_small=['classifier.3.weight', 'classifier.3.bias'],
    mnasnet0_5=['classifier.1.weight', 'classifier.1.bias'],
    densenet121=['classifier.weight', 'classifier.bias'],
    squeezenet1_1=['classifier.1.weight', 'classifier.1.bias'],
    googlenet=['fc.weight', 'fc.bias'],
    inception_v3=['fc.weight', 'fc.bias'],
)


@pytest.mark.parametrize('name', CLASS_LAYERS)
def test_pretrained_with_other_classes_draws_the_last_layer_alone_anew(name, cached, caplog):
    weights = cached(name, 'IMAGENET1K_V1')
    MMLogger.get_current_instance().addHandler(caplog.handler)
    model = build(name, pretrained=True)
    found = model.state_dict()
    new = [
        key
        for key, value in found.items()
        if value.shape != weights[key].shape or not torch.equal(value, weights[key])
    ]
    assert new == CLASS_LAYERS[name]
    assert model(torch.randn(2, 3, 96, 96), mode='tensor').shape == (2, K)
    (line,) = [text for text in caplog.messages if 'drawn anew' in text]
    assert 'of 1000 classes' in line and f'for {K}' in line
    assert f"'{CLASS_LAYERS[name][0].rpartition('.')[0]}'" in line
    # The Runner does this, too.
    before = {key: value.clone() for key, value in found.items()}
    model.init_weights()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.skipif(torch.__version__ < (2, 0), reason='no device for networks without memory')
@pytest.mark.parametrize(
    'name',
    # The first of each family.
    sorted({re.split(r'\d|_[a-z]+$', name)[0]: name for name in reversed(NAMES)}.values()),
)
def test_last_layer_of_every_network_makes_its_class_scores(name):
    """Nothing else has 1000 outputs, but for the auxiliary classifiers, which are left out."""
    config = dict(_scope_='mmpretrain', type='TorchVisionClassifier', model_name=name)
    if name in ('googlenet', 'inception_v3'):
        config['init_weights'] = False
    # torchvision computes widths of these with tensors that need memory.
    with torch.device('cpu' if name.startswith('regnet') else 'meta'):
        model = MODELS.build(config)
    kinds = (nn.Linear, nn.Conv2d)
    layers = [layer for layer in model.modules() if isinstance(layer, kinds)]
    scores = [layer for layer in layers if layer.weight.shape[0] == 1000]
    assert scores == [layers[-1]]
    before = {key: value.shape for key, value in model.state_dict().items()}
    model._set_num_classes(K)
    after = {key: value.shape for key, value in model.state_dict().items()}
    assert before.keys() == after.keys()
    assert {after[key][0] for key in after if after[key] != before[key]} == {K}
    assert sum(isinstance(layer, kinds) for layer in model.modules()) == len(layers)


def test_pretrained_with_the_same_classes_keeps_all(cached):
    weights = cached('squeezenet1_1', 'IMAGENET1K_V1')
    for number in (dict(num_classes=1000), {}):
        config = dict(_scope_='mmpretrain', type='TorchVisionClassifier', pretrained=True)
        found = MODELS.build(dict(config, model_name='squeezenet1_1', **number)).state_dict()
        assert all(torch.equal(found[key], weights[key]) for key in weights)


def test_which_weights():
    known = torchvision.models.ResNet50_Weights
    assert find_weights('resnet50', False, None) is None
    # What torchvision itself means by it.
    assert find_weights('resnet50', True, None) is known.IMAGENET1K_V1
    assert find_weights('resnet50', False, 'DEFAULT') is known.IMAGENET1K_V2
    assert find_weights('resnet50', True, 'IMAGENET1K_V2') is known.IMAGENET1K_V2
    assert find_weights('resnet50', False, 'ResNet50_Weights.IMAGENET1K_V1') is known.IMAGENET1K_V1
    assert find_weights('resnet50', False, known.IMAGENET1K_V1) is known.IMAGENET1K_V1
    # It has no others.
    assert find_weights('vit_h_14', True, None).name == 'IMAGENET1K_SWAG_E2E_V1'
    for wrong in ('IMAGENET1K_V3', torchvision.models.ResNet18_Weights.IMAGENET1K_V1):
        with pytest.raises(ValueError, match='it has IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT'):
            find_weights('resnet50', False, wrong)
    with pytest.raises(TypeError, match=r"'file.pth'; a file is given by init_cfg"):
        find_weights('resnet50', 'file.pth', None)
