"""What cannot be distilled is an error that names the key to change."""

import pytest
from mmpretrain.models import heads
from mmpretrain.models.classifiers import HuggingFaceClassifier
from mmpretrain.registry import MODELS
from mmrazor.registry import MODELS as RAZOR_MODELS

from amkd_mm.algorithms.pair_checks import check_pair
from amkd_mm.classifiers import class_count_key
from networks import classifier


def with_classes_in_the_backbone(num_classes):
    backbone = dict(type='LeNet5', num_classes=num_classes)
    return classifier(backbone=backbone, neck=None, head=dict(type='ClsHead'))


def head(kind, **kwargs):
    return dict(type=kind, num_classes=4, in_channels=64, **kwargs)


def error_of(student=None, teacher=None, **kwargs):
    config = dict(
        type='AMKD',
        _scope_='mmrazor',
        architecture=student or classifier(),
        teacher=teacher or classifier(),
        distiller=dict(type='ConfigurableDistiller'),
    )
    with pytest.raises(ValueError) as error:
        RAZOR_MODELS.build(config | kwargs)
    return str(error.value)


def test_class_counts():
    message = error_of(teacher=classifier(num_classes=7))
    assert 'the student has 4 classes and the teacher 7' in message
    assert '`model.architecture.head.num_classes`' in message
    assert '`model.teacher.head.num_classes`' in message


def test_class_counts_elsewhere_in_the_config():
    message = error_of(
        student=with_classes_in_the_backbone(10), teacher=with_classes_in_the_backbone(11)
    )
    assert 'the student has 10 classes and the teacher 11' in message
    assert '`model.architecture.backbone.num_classes`' in message
    assert '`model.teacher.backbone.num_classes`' in message
    other = dict(
        _scope_='mmpretrain', type='TorchVisionClassifier', model_name='shufflenet_v2_x0_5'
    )
    message = error_of(teacher=dict(other, num_classes=9))
    assert 'the teacher 9' in message and '`model.teacher.num_classes`' in message


def test_one_class():
    message = error_of(student=classifier(num_classes=1), teacher=classifier(num_classes=1))
    assert '`model.architecture.head.num_classes` is 1' in message


@pytest.mark.parametrize('side', ['student', 'teacher'])
def test_several_labels_or_tasks_per_image(side):
    key = dict(student='model.architecture.head', teacher='model.teacher.head')[side]
    multi_label = classifier(head=head('MultiLabelLinearClsHead'))
    message = error_of(**{side: multi_label})
    assert f'{key}: MultiLabelLinearClsHead' in message and 'LinearClsHead' in message
    tasks = dict(a=dict(type='LinearClsHead', num_classes=4))
    multi_task = classifier(head=dict(type='MultiTaskHead', task_heads=tasks, in_channels=64))
    assert f'{key}: MultiTaskHead' in error_of(**{side: multi_task})


@pytest.mark.skipif(not hasattr(heads, 'RegressionHead'), reason="OneDL's MMPretrain only")
@pytest.mark.parametrize('side', ['student', 'teacher'])
def test_numbers_instead_of_classes(side):
    key = dict(student='model.architecture.head', teacher='model.teacher.head')[side]
    message = error_of(**{side: classifier(head=head('LinearRegressionHead'))})
    assert f'{key}: LinearRegressionHead predicts numbers' in message


@pytest.mark.parametrize('side', ['student', 'teacher'])
def test_no_head(side):
    key = dict(student='model.architecture.head', teacher='model.teacher.head')[side]
    assert f'{key} is missing' in error_of(**{side: classifier(head=None)})


@pytest.mark.parametrize('kind', ['LeViTClsHead', 'EfficientFormerClsHead'])
def test_distillation_tokens_that_mmpretrain_cannot_train(kind):
    distilled = classifier(head=head(kind))
    message = error_of(student=distilled)
    assert kind in message and '`model.architecture.head.distillation=False`' in message
    # As a teacher it is not trained.
    plain = MODELS.build(classifier(head=head(kind, distillation=False)))
    check_pair(plain, MODELS.build(distilled))
    message = error_of(teacher=distilled, teacher_trainable=True)
    assert '`model.teacher.head.distillation=False`' in message


def test_a_loss_for_another_number_of_classes():
    loss = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=1000)
    smooth = classifier(head=head('LinearClsHead', loss=loss))
    message = error_of(student=smooth)
    assert 'model.architecture.head.loss.num_classes is 1000' in message and '4 classes' in message
    check_pair(MODELS.build(classifier()), MODELS.build(smooth))


def test_a_loss_for_another_number_of_classes_beside_a_network_without_a_head():
    student = dict(
        _scope_='mmpretrain',
        type='TorchVisionClassifier',
        model_name='shufflenet_v2_x0_5',
        num_classes=4,
    )
    student['loss'] = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=1000)
    assert 'model.architecture.loss.num_classes is 1000' in error_of(student=student)


def test_class_counts_of_transformers():
    """Their configs have another name for it, and ignore ours."""
    network = HuggingFaceClassifier.__new__(HuggingFaceClassifier)
    assert class_count_key(network) == 'num_labels'


def test_the_loss_of_another_library():
    """Without `_scope_`, a loss by its bare name is MMRazor's, which compares two networks."""
    pytest.importorskip('timm')
    student = dict(type='mmpretrain.TimmClassifier', model_name='resnet18', num_classes=4)
    message = error_of(student=student)
    assert 'model.architecture.loss is MMRazor' in message and "`_scope_='mmpretrain'`" in message


def test_recorders_of_what_is_not_known():
    import torch
    from mmengine.model import BaseModel

    class Unknown(BaseModel):
        def forward(self, inputs, data_samples=None, mode='tensor'):
            return torch.zeros(len(inputs), 4)

    distiller = dict(
        type='ConfigurableDistiller',
        teacher_recorders=dict(logits=dict(type='Logits')),
        student_recorders=dict(embedding=dict(type='Embedding')),
    )
    message = error_of(teacher=Unknown(), distiller=distiller)
    assert 'model.distiller.teacher_recorders.logits' in message and 'ModuleOutputs' in message
