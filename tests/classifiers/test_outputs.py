"""Logits and embedding against the classifiers' own predictions and class layers."""

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from amkd_mm.classifiers import (
    class_layers,
    embedding_width,
    find_outputs,
    num_classes,
    to_embedding,
    to_logits,
)
from amkd_mm.recorders import EmbeddingRecorder, LogitsRecorder

K = 7


class Features(nn.Module):
    """A backbone that gives what a head expects, from images (N, 3, 8, 8)."""

    def __init__(self, kind, width=12):
        super().__init__()
        self.kind = kind
        self.layer = nn.Linear(192, 2 * width if kind != 'vector' else width)

    def forward(self, images):
        features = self.layer(images.flatten(1))
        if self.kind == 'vector':
            return (features,)
        return ([*features.chunk(2, 1)],)


class Scores(nn.Module):
    """A backbone that makes the class scores itself, after a hidden layer of K units."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(192, K)
        self.classifier = nn.Sequential(nn.ReLU(), nn.Linear(K, K))

    def forward(self, images):
        return (self.classifier(self.hidden(images.flatten(1))),)


def classifier(head, kind='vector', backbone=None, **kwargs):
    torch.manual_seed(0)
    head = dict(type=head, **kwargs)
    if backbone is None:
        head = {'num_classes': K, 'in_channels': 12, **head}
    model = MODELS.build(
        dict(
            _scope_='mmpretrain',
            type='ImageClassifier',
            backbone=backbone or Features(kind),
            head=head,
        )
    )
    # Some heads begin with zeros.
    for parameter in model.head.parameters():
        nn.init.normal_(parameter)
    return model.eval()


def images(number=5):
    return torch.randn(number, 3, 8, 8, generator=torch.Generator().manual_seed(1))


HEADS = dict(
    linear=lambda: classifier('LinearClsHead'),
    stacked=lambda: classifier('StackedLinearClsHead', mid_channels=[K, 9]),
    vit=lambda: classifier('VisionTransformerClsHead'),
    vit_hidden=lambda: classifier('VisionTransformerClsHead', hidden_dim=K),
    vig=lambda: classifier('VigClsHead', hidden_dim=K),
    deit=lambda: classifier('DeiTClsHead', 'tokens'),
    deit_hidden=lambda: classifier('DeiTClsHead', 'tokens', hidden_dim=K),
    conformer=lambda: classifier('ConformerHead', 'tokens', in_channels=[12, 12]),
    efficientformer=lambda: classifier('EfficientFormerClsHead'),
    efficientformer_plain=lambda: classifier('EfficientFormerClsHead', distillation=False),
    levit=lambda: classifier('LeViTClsHead'),
    levit_plain=lambda: classifier('LeViTClsHead', distillation=False),
    arcface=lambda: classifier('ArcFaceClsHead', scale=8.0),
    arcface_subcenters=lambda: classifier('ArcFaceClsHead', num_subcenters=3),
    backbone=lambda: classifier('ClsHead', backbone=Scores()),
)
# What the class layers get, found by hand.
EMBEDDINGS = dict(
    stacked=lambda head, features: head.layers[1](head.layers[0](features)),
    vit_hidden=lambda head, features: head.layers.act(head.layers.pre_logits(features)),
    vig=lambda head, features: head.act(head.bn(head.fc1(features))),
    deit=lambda head, features: torch.cat(features, 1),
    deit_hidden=lambda head, features: torch.cat(
        [head.layers.act(head.layers.pre_logits(token)) for token in features], 1
    ),
    conformer=lambda head, features: torch.cat(features, 1),
)


@pytest.fixture(params=HEADS)
def name(request):
    return request.param


@pytest.fixture
def model(name):
    return HEADS[name]()


def record(recorder, model, call):
    recorder.initialize(model)
    with recorder:
        call()
    assert len(recorder.data_buffer) == 1
    return recorder.get_record_data()


def test_softmax_of_the_logits_is_what_the_classifier_predicts(model):
    logits = record(LogitsRecorder(), model, lambda: model(images(), mode='tensor'))
    predicted = torch.stack([sample.pred_score for sample in model(images(), mode='predict')])
    torch.testing.assert_close(logits.softmax(1), predicted)
    torch.testing.assert_close(to_logits(model(images(), mode='tensor')), logits)
    assert num_classes(model) == K


def test_logits_and_embedding_do_not_depend_on_the_labels(model, name):
    """In the pass that computes the loss, ArcFace changes the score of the label."""
    if name == 'efficientformer':
        pytest.skip('MMPretrain does not compute its loss')
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2, 3, K - 1)]
    for recorder in (LogitsRecorder, EmbeddingRecorder):
        expected = record(recorder(), model, lambda: model(images(), mode='tensor'))
        found = record(recorder(), model, lambda: model(images(), samples, mode='loss'))
        torch.testing.assert_close(found, expected)


def test_embedding_is_what_the_class_layers_get(model, name):
    embedding = record(EmbeddingRecorder(), model, lambda: model(images(), mode='tensor'))
    (features,) = model.backbone(images())
    if name == 'backbone':
        expected = model.backbone.hidden(images().flatten(1)).relu()
    else:
        expected = EMBEDDINGS.get(name, lambda head, features: features)(model.head, features)
    torch.testing.assert_close(embedding, expected)
    assert embedding_width(model) == embedding.size(1)


def test_class_layers_alone_change_logits_and_not_the_embedding(model):
    """A wrong layer, such as a hidden one of K units, changes the embedding with it."""

    def both():
        call = lambda: model(images(), mode='tensor')  # noqa: E731
        return record(LogitsRecorder(), model, call), record(EmbeddingRecorder(), model, call)

    logits, embedding = both()
    for layer in class_layers(model):
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
    changed, same = both()
    assert not torch.allclose(changed, logits)
    assert torch.equal(same, embedding)


def test_a_custom_classifier_of_timm():
    timm = pytest.importorskip('timm')
    names = dict(resnet18='model.fc', deit_tiny_distilled_patch16_224='model.head')
    for model_name, first in names.items():
        config = dict(type='TimmClassifier', model_name=model_name, num_classes=K)
        model = MODELS.build(dict(_scope_='mmpretrain', **config)).eval()
        outputs = find_outputs(model)
        assert outputs.scores == 'model' and outputs.layers[0] == first, timm.__version__
        assert num_classes(model) == K
    assert outputs.layers == ('model.head', 'model.head_dist')
    inputs = torch.randn(2, 3, 224, 224)
    embedding = record(EmbeddingRecorder(), model, lambda: model(inputs, mode='tensor'))
    tokens = model.model.forward_features(inputs)[:, :2]
    torch.testing.assert_close(embedding, tokens.flatten(1))


def test_a_classifier_of_hugging_face(tmp_path):
    transformers = pytest.importorskip('transformers')
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=K
    )
    config.save_pretrained(tmp_path)
    network = dict(_scope_='mmpretrain', type='HuggingFaceClassifier', model_name=str(tmp_path))
    model = MODELS.build(network).eval()
    inputs = torch.randn(2, 3, 32, 32)
    logits = record(LogitsRecorder(), model, lambda: model(inputs, mode='tensor'))
    embedding = record(EmbeddingRecorder(), model, lambda: model(inputs, mode='tensor'))
    torch.testing.assert_close(logits, model.model(inputs).logits)
    torch.testing.assert_close(model.model.classifier[1](embedding), logits)
    assert num_classes(model) == K and embedding_width(model) == 16


def test_models_without_class_scores():
    for model in (
        nn.Linear(3, 4),
        MODELS.build(
            dict(
                _scope_='mmpretrain', type='ImageClassifier', backbone=dict(type='ResNet', depth=18)
            )
        ),
    ):
        with pytest.raises(ValueError, match='LinearClsHead'):
            find_outputs(model)
        assert num_classes(model) is None


def test_embeddings_of_maps_are_means():
    maps = torch.randn(2, 3, 4, 5)
    vectors = torch.randn(2, 6)
    expected = torch.cat([maps.flatten(2).mean(2), vectors], 1)
    torch.testing.assert_close(to_embedding([maps, vectors]), expected)


@pytest.mark.parametrize(
    'outputs',
    [
        dict(a=torch.zeros(2, 3)),
        torch.zeros(2, 3, 1, 1),
        [],
        [torch.zeros(2, 3), torch.zeros(2, 4)],
    ],
)
def test_outputs_that_are_no_logits(outputs):
    with pytest.raises(TypeError, match='class scores'):
        to_logits(outputs)
