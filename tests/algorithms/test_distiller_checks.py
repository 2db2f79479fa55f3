"""Mistakes in a distiller's config are found when the model is built, with the config key."""

from copy import deepcopy

import pytest
import torch
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch import nn

from amkd_mm.algorithms import AMKD
from amkd_mm.algorithms.distiller_checks import (
    check_cfg_path,
    check_distiller,
)
from networks import classifier

RECORDER = dict(type='ModuleOutputs', source='head.fc')
DISTILLER = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        logits=RECORDER,
        labels=dict(type='ModuleInputs', source='head.loss_module'),
        weight=dict(type='Parameter', source='head.fc.weight'),
        whole=dict(type='ModuleInputs', source=''),
        stages=dict(type='Stages', sources=['backbone.layer1', 'backbone.layer2']),
    ),
    teacher_recorders=dict(
        logits=RECORDER, embedding=dict(type='ModuleOutputs', source='neck.gap')
    ),
    distill_losses=dict(
        loss_kl=dict(type='KLDivergence'), loss_triplet=dict(type='TripletDistillLoss')
    ),
    connectors=dict(
        widen=dict(
            type='TorchNNConnector',
            module_name='Linear',
            module_args=dict(in_features=4, out_features=64),
        )
    ),
    loss_forward_mappings=dict(
        loss_kl=dict(
            preds_S=dict(recorder='logits', from_student=True),
            preds_T=dict(recorder='logits', from_student=False),
        ),
        loss_triplet=dict(
            anchor=dict(recorder='logits', from_student=True, record_idx=1, connector='widen'),
            anchor_labels=dict(recorder='labels', from_student=True, record_idx=1, data_idx=1),
            reference=dict(recorder='logits', from_student=True, connector='widen'),
            reference_labels=dict(recorder='labels', from_student=True, data_idx=1),
            positive=dict(recorder='embedding', from_student=False, record_idx=1),
        ),
    ),
)


def changed(path, value):
    """The config with the value at the dotted path."""
    config = deepcopy(DISTILLER)
    *path, last = path.split('.')
    place = config
    for key in path:
        place = place[key]
    place[last] = value
    return config


def build(distiller, **kwargs):
    networks = dict(architecture=classifier(), teacher=classifier())
    config = dict(_scope_='mmrazor', type='AMKD', distiller=distiller)
    return MODELS.build(config | networks | kwargs)


def test_the_correct_config_is_accepted_and_stays_as_it_was():
    config = deepcopy(DISTILLER)
    build(config)
    assert config == DISTILLER


@pytest.mark.parametrize(
    'path, value, messages',
    [
        (
            'student_recorders.logits.source',
            'head.fcc',
            ["student_recorders.logits.source: 'head.fcc' is not in the student", "'head.fc'"],
        ),
        (
            'teacher_recorders.embedding.source',
            'neck.gapp',
            ["teacher_recorders.embedding.source: 'neck.gapp' is not in the teacher", "'neck.gap'"],
        ),
        (
            'student_recorders.labels.source',
            'head.loss_modul',
            ['student_recorders.labels.source', "'head.loss_module'"],
        ),
        (
            'student_recorders.stages.sources',
            ['backbone.layer1', 'backbone.layer4'],
            ["stages.sources: 'backbone.layer4' is not in the student", "'backbone.layer3'"],
        ),
        (
            # Not each of its letters.
            'student_recorders.stages.sources',
            'backbone.layer4',
            ["stages.sources: 'backbone.layer4' is not in the student"],
        ),
        (
            # A module is no parameter.
            'student_recorders.weight.source',
            'head.fc',
            ["student_recorders.weight.source: 'head.fc'", "'head.fc.weight'"],
        ),
        (
            'loss_forward_mappings.loss_kl.preds_S.recorder',
            'logit',
            [
                "loss_forward_mappings.loss_kl.preds_S.recorder: 'logit' is not in "
                'model.distiller.student_recorders',
                "['logits']",
            ],
        ),
        (
            # Exists, but on the other side.
            'loss_forward_mappings.loss_kl.preds_T.recorder',
            'labels',
            ["preds_T.recorder: 'labels' is not in model.distiller.teacher_recorders"],
        ),
        (
            # MMRazor does not look at optional arguments.
            'loss_forward_mappings.loss_triplet.positive.recorder',
            'embeddings',
            ['loss_triplet.positive.recorder', "['embedding']"],
        ),
        (
            'loss_forward_mappings.loss_triplet.anchor.connector',
            'wide',
            ["loss_triplet.anchor.connector: 'wide' is not in model.distiller.connectors", 'widen'],
        ),
        (
            'teacher_recorders.embedding.type',
            'ModuleOutput',
            ["embedding.type: 'ModuleOutput' is not in MMRazor's recorders", "'ModuleOutputs'"],
        ),
        (
            'loss_forward_mappings.loss_tripletts',
            dict(),
            ["loss_tripletts: 'loss_tripletts' is not in model.distiller.distill_losses"],
        ),
    ],
)
def test_unknown_names(path, value, messages):
    with pytest.raises(KeyError) as error:
        build(changed(path, value))
    for message in ('model.distiller.', *messages):
        assert message in error.value.args[0]


def test_a_name_like_no_other_lists_what_there_is():
    with pytest.raises(KeyError, match="one of .*'backbone', 'backbone.conv1'"):
        build(changed('student_recorders.logits.source', 'xyz'))


@pytest.mark.parametrize(
    'path, value',
    [
        ('loss_forward_mappings.loss_kl.preds_S', 'logits'),
        ('loss_forward_mappings.loss_kl.preds_S', dict(recorder='logits')),
        ('loss_forward_mappings.loss_triplet.positive', dict(from_student=False)),
    ],
)
def test_incomplete_mapping(path, value):
    with pytest.raises(TypeError, match=f'model.distiller.{path} must be a dict with `recorder`'):
        build(changed(path, value))


def test_recorder_of_a_loss_that_is_not_computed():
    """MMRazor computes the teacher's loss, and AMKD only if the teacher is trained."""
    config = changed(
        'teacher_recorders.labels', dict(type='ModuleInputs', source='head.loss_module')
    )
    with pytest.raises(ValueError, match='teacher_recorders.labels.source.*student_recorders'):
        build(config)
    model = build(config, teacher_trainable=True)
    assert 'labels' in model.distiller.teacher_recorders.recorders


def test_recorders_of_code_are_left_to_mmrazor():
    path = 'mmpretrain.models.heads.LinearClsHead.forward'
    build(changed('student_recorders.method', dict(type='MethodOutputs', source=path)))


def test_distiller_without_anything():
    check_distiller(dict(type='ConfigurableDistiller'), nn.Identity(), nn.Identity())
    check_distiller(dict(student_recorders=None, connectors=None), nn.Identity(), nn.Identity())


def test_unknown_argument_is_an_error_with_a_suggestion():
    with pytest.raises(TypeError, match=r'model\.techer_ckpt.*teacher_ckpt'):
        AMKD(distiller={}, teacher={}, architecture={}, techer_ckpt='teacher.pth')


def test_settings_beside_cfg_path_are_an_error():
    """MMEngine ignores them; the model keeps its 100 classes."""
    named = 'mmpretrain::resnet/resnet50_8xb16_cifar100.py'
    teacher = dict(cfg_path=named, pretrained=False, head=dict(num_classes=10))
    with pytest.raises(ValueError, match=r"model\.teacher: MMEngine ignores \['head'\]"):
        AMKD(distiller={}, teacher=teacher, architecture={})
    check_cfg_path('model.teacher', dict(cfg_path=named, pretrained=False))


def test_inputs_of_a_loss_are_listed():
    """MMRazor only says which is wrong."""
    for losses, message in (
        (dict(type='DISTLoss'), r"loss_kl.preds_S: DISTLoss has no .*'logits_S', 'logits_T'"),
        (dict(type='L2Loss'), r"its inputs are .*'s_feature', 't_feature'"),
    ):
        config = changed('distill_losses.loss_kl', losses)
        with pytest.raises(
            KeyError, match='model.distiller.loss_forward_mappings.' + '.*' + message
        ):
            build(config)


def test_a_missing_input_of_a_loss():
    config = changed(
        'loss_forward_mappings.loss_kl', dict(preds_S=dict(recorder='logits', from_student=True))
    )
    with pytest.raises(KeyError, match=r"mappings.loss_kl: KLDivergence needs \['preds_T'\], too"):
        build(config)


def test_distillers_of_other_algorithms_list_the_inputs():
    config = changed('distill_losses.loss_kl', dict(type='DISTLoss'))
    config.pop('loss_forward_mappings')
    config['loss_forward_mappings'] = dict(
        loss_kl=dict(preds_S=dict(recorder='logits', from_student=True))
    )
    with pytest.raises(KeyError, match=r"preds_S: DISTLoss has no such input; .*'logits_S'"):
        MODELS.build(config)


@pytest.mark.parametrize(
    'entry, value, message',
    [
        ('conector', 'widen', r"logits.*'conector' is not in the settings.*'connector'"),
        ('from_student', 1, 'from_student must be True or False, not 1'),
    ],
)
def test_settings_of_a_record(entry, value, message):
    config = deepcopy(DISTILLER)
    config['loss_forward_mappings']['loss_kl']['preds_S'][entry] = value
    with pytest.raises((KeyError, TypeError), match=message.replace('logits.*', 'preds_S.*')):
        build(config)
    config['loss_forward_mappings']['loss_kl'] = ['preds_S']
    with pytest.raises(TypeError, match='mappings.loss_kl must be a dict of inputs'):
        build(config)


def test_width_of_a_connector():
    """Of what is certain: logits, embeddings, and what single layers give."""
    config = changed('connectors.widen.module_args.in_features', 5)
    with pytest.raises(
        ValueError, match=r'connectors.widen takes 5 features, .*logits. has 4'
    ) as got:
        build(config)
    assert 'set `model.distiller.connectors.widen.module_args.in_features=4`' in str(got.value)

    convolution = dict(type='ConvModuleConnector', in_channel=32, out_channel=8)
    config = deepcopy(DISTILLER)
    config['connectors']['conv'] = [convolution]
    config['student_recorders']['map'] = dict(type='ModuleOutputs', source='backbone.conv1')
    record = dict(recorder='map', from_student=True, connector='conv')
    config['loss_forward_mappings']['loss_kl']['preds_S'] = record
    with pytest.raises(ValueError, match=r'connectors.conv.0.in_channel=16`'):
        build(config)
    convolution['in_channel'] = 16
    build(config)


def test_a_connector_that_fails_is_named():
    config = deepcopy(DISTILLER)
    # What no mapping names is no part of this.
    del config['distill_losses']['loss_triplet']
    config['connectors']['conv'] = dict(type='ConvModuleConnector', in_channel=5, out_channel=8)
    config['student_recorders']['map'] = dict(type='ModuleOutputs', source='backbone.layer1')
    record = dict(recorder='map', from_student=True, connector='conv')
    config['loss_forward_mappings'] = dict(
        loss_kl=dict(preds_S=record, preds_T=dict(recorder='logits', from_student=False))
    )
    model = build(config)
    images, samples = torch.zeros(2, 3, 8, 8), [DataSample().set_gt_label(0)] * 2
    with pytest.raises(
        ValueError, match=r'connectors.conv fails on a tensor of shape \(2, 16, 8, 8\)'
    ):
        model.loss(images, samples)


def test_a_loss_of_other_widths_is_named():
    config = deepcopy(DISTILLER)
    config['distill_losses'] = dict(loss_l2=dict(type='L2Loss'))
    config['loss_forward_mappings'] = dict(
        loss_l2=dict(
            s_feature=dict(recorder='logits', from_student=True),
            t_feature=dict(recorder='embedding', from_student=False),
        )
    )
    model = build(config)
    images, samples = torch.zeros(2, 3, 8, 8), [DataSample().set_gt_label(0)] * 2
    with pytest.raises(
        ValueError, match=r'distill_losses.loss_l2 fails on s_feature a tensor of shape'
    ):
        model.loss(images, samples)


def aligned(student, **settings):
    """A map of the student and the teacher's, by connectors, in a squared distance."""
    config = deepcopy(DISTILLER)
    for side in ('student', 'teacher'):
        config[f'{side}_recorders'] = dict(map=dict(type='ModuleOutputs', source='backbone.layer2'))
    config['connectors'] = dict(
        student=dict(type='FeatureAlignConnector', **student),
        teacher=dict(type='FeatureAlignConnector'),
    )
    config['distill_losses'] = dict(loss_l2=dict(type='L2Loss', **settings))
    config['loss_forward_mappings'] = dict(
        loss_l2=dict(
            s_feature=dict(recorder='map', from_student=True, connector='student'),
            t_feature=dict(recorder='map', from_student=False, connector='teacher'),
        )
    )
    model = build(config)
    images, samples = torch.randn(2, 3, 8, 8), [DataSample().set_gt_label(0)] * 2
    return model.loss(images, samples)['distill.loss_l2']


@pytest.mark.parametrize(
    ('student', 'loss', 'message'),
    [
        (dict(in_channels=16), {}, 'connectors.student: .*in_channels must be 32, .* not 16'),
        (dict(size=2), {}, r'distill_losses.loss_l2 fails on .*\(2, 32, 2, 2\).*FeatureAlign'),
        # Which PyTorch would repeat for each place of the other.
        (
            dict(size=1),
            dict(normalize=False),
            r'distill_losses.loss_l2: L2Loss: s_feature is \(2, 32, 1, 1\) .*FeatureAlign',
        ),
    ],
)
def test_maps_that_do_not_fit_are_named_with_their_key(student, loss, message):
    assert aligned(dict(size=4), **loss) >= 0
    with pytest.raises(ValueError, match=f'distiller.{message}'):
        aligned(student, **loss)


def test_memory_that_runs_out_is_not_taken_for_other_widths(monkeypatch):
    config = deepcopy(DISTILLER)
    model = build(config)
    text = 'CUDA out of memory. If reserved memory is large try setting max_split_size_mb'

    def forward(self, *args, **kwargs):
        raise RuntimeError(text)

    monkeypatch.setattr(type(model.distiller.distill_losses['loss_kl']), 'forward', forward)
    images, samples = torch.zeros(2, 3, 8, 8), [DataSample().set_gt_label(0)] * 2
    with pytest.raises(RuntimeError, match='^CUDA out of memory'):
        model.loss(images, samples)
