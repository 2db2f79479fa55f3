"""The recorders in a distiller: labels, two passes, and what they refuse."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from mmrazor.models.task_modules.recorder import RecorderManager
from mmrazor.registry import TASK_UTILS

from amkd_mm.recorders import (
    EmbeddingRecorder,
    LabelsRecorder,
    TargetClassesRecorder,
    recording,
)
from amkd_mm.samplers import Samples

K = 4


def samples(*labels):
    return [DataSample().set_gt_label(label) for label in labels]


def manager(model, **types):
    with DefaultScope.overwrite_default_scope('mmrazor'):
        recorders = RecorderManager({name: dict(type=kind) for name, kind in types.items()})
    recorders.initialize(model)
    return recorders


def test_each_call_makes_one_record_of_each_recorder(model):
    first, second = torch.randn(3, 3, 8, 8), torch.randn(2, 3, 8, 8)
    recorders = manager(model, logits='Logits', embedding='Embedding', labels='Labels')
    with recorders:
        model(first, samples(0, 2, 3), mode='loss')
        model(second, samples(1, 1), mode='loss')
    model(first, samples(0, 0, 0), mode='loss')
    for index, (images, labels) in enumerate([(first, [0, 2, 3]), (second, [1, 1])]):
        embedding = model.extract_feat(images)[-1]
        found = {name: recorders.get_recorder(name) for name in recorders.recorders}
        torch.testing.assert_close(found['embedding'].get_record_data(index), embedding)
        torch.testing.assert_close(found['logits'].get_record_data(index), model.head.fc(embedding))
        assert found['labels'].get_record_data(index).tolist() == labels
    assert {len(recorder.data_buffer) for recorder in found.values()} == {2}


def test_gradients_reach_the_backbone_through_the_records(model):
    recorders = manager(model, embedding='Embedding', logits='Logits')
    for name in recorders.recorders:
        with recorders:
            model(torch.randn(2, 3, 8, 8), mode='tensor')
        (gradient,) = torch.autograd.grad(
            recorders.get_recorder(name).get_record_data().sum(), model.backbone.conv1.weight
        )
        assert gradient.abs().sum() > 0


def test_targets_are_those_of_samples(model):
    recorders = manager(model, targets='TargetClasses')
    images, rows = torch.randn(2, 3, 8, 8), torch.arange(2)
    moved = Samples(images, images, rows, rows, torch.tensor([3, 3]), None, {})
    with recording(recorders):
        model(images, samples(0, 1), mode='loss')
    with recording(recorders, moved):
        model(images, samples(0, 1), mode='loss')
    recorder = recorders.get_recorder('targets')
    assert recorder.get_record_data(0).tolist() == [-1, -1]
    assert recorder.get_record_data(1).tolist() == [3, 3]


def test_mixed_images_have_no_labels(model):
    recorder = LabelsRecorder()
    recorder.initialize(model)
    mixed = samples(0, 1)
    for sample in mixed:
        sample.set_gt_score(torch.tensor([0.3, 0.7, 0, 0]))
    with pytest.raises(TypeError, match='batch_augments=None'), recorder:
        model(torch.randn(2, 3, 8, 8), mixed, mode='loss')
    one_hot = samples(0, 1)
    for sample in one_hot:
        sample.set_gt_score(torch.eye(K)[sample.gt_label.item()])
    with recorder:
        model(torch.randn(2, 3, 8, 8), one_hot, mode='loss')
    assert recorder.get_record_data().tolist() == [0, 1]


def test_several_labels_of_an_image(model):
    recorder = LabelsRecorder()
    recorder.initialize(model)
    with pytest.raises(TypeError, match='one `gt_label` each'), recorder:
        model(torch.randn(1, 3, 8, 8), samples([0, 2]), mode='tensor')


def test_a_pass_that_fails_between_two_layers_leaves_nothing(model):
    """The next record would be made of both passes."""
    recorder = EmbeddingRecorder()
    recorder.initialize(model)
    recorder._found = [torch.zeros(1, 64)]
    with recorder:
        model(torch.randn(2, 3, 8, 8), mode='tensor')
    assert recorder.get_record_data().shape == (2, 64)


def test_the_old_name_of_target_classes_still_records_them():
    with pytest.warns(DeprecationWarning, match='TargetClasses'):
        recorder = TASK_UTILS.build(dict(type='TargetsRecorder'))
    assert isinstance(recorder, TargetClassesRecorder)
