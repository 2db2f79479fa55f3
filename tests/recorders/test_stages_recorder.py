"""StagesRecorder in two passes, after a failure, and by its config."""

import pytest
import torch
from mmpretrain.models.backbones import ResNet_CIFAR

from amkd_mm.recorders import StagesRecorder

NAMES = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3']


def stages_of(model, images):
    """By calling the parts of the network one after the other."""
    backbone = model.backbone
    maps = backbone.conv1(images)
    maps = backbone.relu(backbone.bn1(maps))
    for name in ('layer1', 'layer2', 'layer3'):
        maps = getattr(backbone, name)(maps)
        yield maps


def test_each_call_makes_one_record_of_all_stages(model):
    recorder = StagesRecorder(NAMES)
    recorder.initialize(model)
    first, second = torch.randn(3, 3, 8, 8), torch.randn(2, 3, 8, 8)
    with recorder:
        model(first, mode='tensor')
        model(second, mode='tensor')
    model(first, mode='tensor')
    assert len(recorder.data_buffer) == 2
    for index, images in enumerate((first, second)):
        found = recorder.get_record_data(index)
        for record, expected in zip(found, stages_of(model, images), strict=True):
            torch.testing.assert_close(record, expected)


def test_a_record_is_what_the_module_gave():
    """Residual blocks add the shortcut in place to what their last batch norm gives."""
    network = ResNet_CIFAR(depth=18, base_channels=4, stem_channels=4)
    network.eval()
    block = network.layer1[0]
    recorder = StagesRecorder(['layer1.0.conv2', 'layer1.0.bn2'])
    recorder.initialize(network)
    with torch.no_grad(), recorder:
        network(torch.randn(2, 3, 8, 8))
    convolved, normalised = recorder.get_record_data()
    torch.testing.assert_close(normalised, block.bn2(convolved))


def test_what_modules_get(model):
    """Of the last activation of each stage, before it, and of the neck, which gets a tuple."""
    blocks = [f'{name}.{len(getattr(model.backbone, name[9:])) - 1}' for name in NAMES]
    names = [*(f'{block}.relu' for block in blocks), 'neck', 'head.fc']
    recorder = StagesRecorder(names, inputs=True)
    recorder.initialize(model)
    images = torch.randn(3, 3, 8, 8)
    with recorder:
        model(images, mode='tensor')
    *entering, last, embedding = recorder.get_record_data()
    for record, expected in zip(entering, stages_of(model, images), strict=True):
        assert record.min() < 0
        torch.testing.assert_close(record.relu(), expected)
    torch.testing.assert_close(last, expected)
    torch.testing.assert_close(embedding, expected.mean((2, 3)))


def test_what_a_neck_gives_and_the_network_goes_on_with(model):
    """A tuple of one, of which that one is recorded."""
    recorder = StagesRecorder(['backbone.layer3', 'neck'])
    recorder.initialize(model)
    images = torch.randn(3, 3, 8, 8)
    expected = model(images, mode='tensor')
    with recorder:
        torch.testing.assert_close(model(images, mode='tensor'), expected)
    last, embedding = recorder.get_record_data()
    torch.testing.assert_close(embedding, last.mean((2, 3)))


def test_a_call_that_failed_leaves_nothing(model):
    recorder = StagesRecorder(NAMES)
    recorder.initialize(model)
    with recorder:
        model.backbone.layer1(torch.randn(2, 16, 8, 8))
    with recorder:
        model(torch.randn(3, 3, 8, 8), mode='tensor')
    assert [len(stage) for stage in recorder.get_record_data()] == [3, 3, 3]


@pytest.mark.parametrize('sources', [[], 'backbone.layer1'])
def test_sources_must_be_a_list(sources):
    with pytest.raises(ValueError, match='sources must be a list'):
        StagesRecorder(sources)
