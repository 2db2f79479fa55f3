"""Losses of what has no gradient because the activations around it are checkpointed."""

import pytest
import torch
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

CHANNELS = dict(base_channels=4, stem_channels=4)
RESNET = dict(type='ResNet_CIFAR', depth=18, **CHANNELS)
DENSENET = dict(type='DenseNet', arch=dict(growth_rate=4, depths=[2, 2], init_channels=8))


def algorithm(recorder, record_idx=0, backbone=RESNET, in_channels=32):
    """A student and a teacher of one architecture, and the error of one record of both."""
    network = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=4, in_channels=in_channels),
    )
    record = dict(recorder='record', record_idx=record_idx)
    if recorder['type'] != 'ModuleOutputs':
        # Of several inputs, or several stages.
        record['data_idx'] = 0
    distiller = dict(
        type='ConfigurableDistiller',
        student_recorders=dict(record=recorder),
        teacher_recorders=dict(record=recorder),
        distill_losses=dict(loss_record=dict(type='L2Loss')),
        loss_forward_mappings=dict(
            loss_record=dict(
                s_feature=dict(record, from_student=True),
                t_feature=dict(record, from_student=False),
            )
        ),
    )
    torch.manual_seed(0)
    return MODELS.build(
        dict(type='AMKD', distiller=distiller, architecture=network, teacher=network)
    ).train()


def step(model):
    """The losses of a batch."""
    samples = [DataSample().set_gt_label(label) for label in range(4)]
    return model.loss(torch.randn(4, 3, 32, 32), samples)


@pytest.mark.parametrize(
    ('kind', 'source'),
    [
        ('ModuleOutputs', 'backbone.layer2.0.conv2'),
        ('ModuleInputs', 'backbone.layer2.0.conv2'),
        ('Stages', 'backbone.layer2.0.conv2'),
        # Runs within the checkpoint first.
        ('ModuleInputs', 'backbone.layer2.1.relu'),
    ],
)
def test_a_record_without_a_gradient(kind, source):
    where = dict(sources=[source]) if kind == 'Stages' else dict(source=source)
    message = r"loss_record\.s_feature: .* is inside 'backbone.layer2.[01]', whose activations"
    with pytest.raises(ValueError, match=message):
        step(algorithm(dict(type=kind, **where), backbone=dict(RESNET, with_cp=True)))
    step(algorithm(dict(type=kind, **where)))


def test_checkpointing_by_other_flags():
    source = 'backbone.stages.1.block.1.conv1'
    recorder = dict(type='ModuleOutputs', source=source)
    for flag in (True, False):
        backbone = dict(DENSENET, memory_efficient=flag)
        model = algorithm(recorder, backbone=backbone, in_channels=16)
        if flag:
            with pytest.raises(ValueError, match=f"'{source}' is inside"):
                step(model)
        else:
            step(model)


def test_checkpointing_by_the_runner():
    model = algorithm(dict(type='ModuleOutputs', source='backbone.layer2.0.conv2'))
    turn_on_activation_checkpointing(model, ['architecture.backbone.layer2'])
    with pytest.raises(ValueError, match="'backbone.layer2.0.conv2' is inside 'backbone.layer2'"):
        step(model)


@pytest.mark.parametrize(
    ('kind', 'source', 'record_idx'),
    [
        ('ModuleOutputs', 'backbone.layer2.0', 0),
        ('ModuleOutputs', 'backbone.layer2', 0),
        ('ModuleOutputs', 'head.fc', 0),
        ('ModuleInputs', 'backbone.layer2.0.conv1', 0),
        # What enters the last ReLU of a block, as OFD and AB record it, is outside.
        ('ModuleInputs', 'backbone.layer2.1.relu', 1),
    ],
)
def test_a_record_with_a_gradient(kind, source, record_idx):
    """It is that of a network without checkpointing."""
    found = []
    for with_cp in (False, True):
        backbone = dict(RESNET, with_cp=with_cp)
        model = algorithm(dict(type=kind, source=source), record_idx, backbone)
        step(model)['distill.loss_record'].backward()
        found.append([p.grad for p in model.student.backbone.layer1.parameters()])
    assert all(gradient.abs().max() > 0 for gradient in found[1])
    torch.testing.assert_close(*found)


def test_a_student_that_is_not_trained():
    """There is no gradient to lack in an evaluation."""
    model = algorithm(
        dict(type='ModuleOutputs', source='backbone.layer2.0.conv2'),
        backbone=dict(RESNET, with_cp=True),
    )
    with torch.no_grad():
        assert 'distill.loss_record' in step(model)
