"""TeacherEnsemble as a classifier: the mean of its members, and what it refuses."""

import pytest
import torch
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

from amkd_mm.classifiers import embedding_width, find_outputs, members_of, num_classes
from amkd_mm.recorders import EmbeddingRecorder
from networks import classifier


def ensemble(weights=None, **members):
    torch.manual_seed(0)
    members = members or dict(deep=classifier(14), group=classifier(norm='GN'))
    model = MODELS.build(dict(type='TeacherEnsemble', members=members, weights=weights))
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            # Logits that differ as much as those of trained networks.
            torch.nn.init.normal_(module.weight)
    return model.eval()


@pytest.mark.parametrize('weights', [None, dict(group=3, deep=1)])
def test_its_logits_are_the_weighted_mean(weights):
    model, images = ensemble(weights), torch.randn(5, 3, 8, 8)
    deep, group = (model.get_submodule(name)(images, mode='tensor') for name in ('deep', 'group'))
    expected = (deep + group) / 2 if weights is None else (deep + 3 * group) / 4
    torch.testing.assert_close(model(images), expected)
    # At any temperature its prediction is the normalised geometric mean of the members'.
    if weights is None:
        for tau in (1, 4):
            product = ((deep / tau).softmax(1) * (group / tau).softmax(1)).sqrt()
            expected = product / product.sum(1, keepdim=True)
            torch.testing.assert_close((model(images) / tau).softmax(1), expected)


def test_gradients_of_its_members_divergences_are_those_of_the_arithmetic_mean():
    """As its docstring says of KL divergences from each member."""
    model, images = ensemble(), torch.randn(5, 3, 8, 8)
    targets = [
        member(images, mode='tensor').softmax(1).detach() for member in members_of(model).values()
    ]
    student = torch.randn(5, 4, requires_grad=True)

    def divergence(target):
        return (target * (target.log() - student.log_softmax(1))).sum()

    each = sum(divergence(target) / 2 for target in targets)
    mean = divergence(sum(targets) / 2)
    torch.testing.assert_close(*(torch.autograd.grad(loss, student)[0] for loss in (each, mean)))


def test_it_predicts_and_has_a_loss_as_any_classifier():
    model, images = ensemble(), torch.randn(3, 3, 8, 8)
    samples = [DataSample().set_gt_label(label) for label in (1, 0, 3)]
    logits = model(images)
    for sample, scores in zip(model(images, samples, mode='predict'), logits, strict=True):
        torch.testing.assert_close(sample.pred_score, scores.softmax(0))
        assert sample.pred_label == scores.argmax()
    losses = model(images, samples, mode='loss')
    expected = -logits.log_softmax(1)[range(3), [1, 0, 3]].mean()
    torch.testing.assert_close(losses['loss'], expected)


def test_what_all_classifiers_have():
    model = ensemble()
    assert num_classes(model) == 4 and embedding_width(model) == 128
    assert find_outputs(model).layers == ('deep.head.fc', 'group.head.fc')
    images, found = torch.randn(3, 3, 8, 8), {}
    pool = torch.nn.Flatten()
    for name, member in members_of(model).items():
        found[name] = pool(member.extract_feat(images)[-1])
    found[None] = torch.cat(list(found.values()), 1)
    for teacher, expected in found.items():
        recorder = EmbeddingRecorder(teacher=teacher)
        recorder.initialize(model)
        with recorder:
            model(images)
        torch.testing.assert_close(recorder.get_record_data(), expected)
    with pytest.raises(ValueError, match="teacher='no': TeacherEnsemble has no such member"):
        EmbeddingRecorder(teacher='no').initialize(model)


WIDE = classifier(num_classes=5)


@pytest.mark.parametrize(
    'settings, error, message',
    [
        (dict(members=[classifier()]), TypeError, 'model.teacher.members must be such as'),
        (dict(members=dict()), ValueError, 'model.teacher.members is empty'),
        (
            dict(members={'wrn-16-2': classifier()}),
            ValueError,
            r'model.teacher.members.wrn-16-2: .* such as teacher_wrn_16_2',
        ),
        *(
            (dict(members={name: classifier()}), ValueError, f'model.teacher.members.{name}: ')
            for name in ('a.b', '1', 'head', 'names', 'members', 'forward')
        ),
        (
            dict(members=dict(one=classifier(), two=WIDE)),
            ValueError,
            '`model.teacher.members.one.head.num_classes` is 4 and '
            '`model.teacher.members.two.head.num_classes` is 5',
        ),
        (
            dict(members=dict(one=classifier()), weights=dict(two=1)),
            ValueError,
            r"model.teacher.weights has \['two'\], but the members are \['one'\]",
        ),
        (
            dict(members=dict(one=classifier()), weights=dict(one=0)),
            ValueError,
            'model.teacher.weights.one must be > 0',
        ),
        (
            dict(members=dict(one=classifier()), weights=dict(one='1')),
            TypeError,
            'model.teacher.weights.one must be a number',
        ),
    ],
)
def test_what_it_refuses(settings, error, message):
    with pytest.raises(error, match=message):
        MODELS.build(dict(type='TeacherEnsemble', **settings))
