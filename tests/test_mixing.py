"""AMKD beside losses, all of MMRazor that fit classification, on clean and on boundary samples."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from mmrazor.models import losses as upstream
from mmrazor.registry import MODELS

from given_samples import step_with_samples
from networks import classifier

CONFIGS = Path(__file__).resolve().parents[1] / 'configs/_base_/distillers'
K, WIDTH = 4, 64
NETWORK = classifier(num_classes=K, norm='GN')


def logits(index, student='preds_S', teacher='preds_T'):
    return {
        student: dict(recorder='logits', from_student=True, record_idx=index),
        teacher: dict(recorder='logits', from_student=False, record_idx=index),
    }


def maps(index):
    return dict(
        s_feature=dict(recorder='maps', from_student=True, record_idx=index),
        t_feature=dict(recorder='maps', from_student=False, record_idx=index),
    )


def embeddings(index):
    return dict(
        preds_S=dict(recorder='embedding', from_student=True, record_idx=index),
        preds_T=dict(recorder='embedding', from_student=False, record_idx=index),
    )


def labels(index, name='gt_labels'):
    return {name: dict(recorder='labels', from_student=True, record_idx=index)}


def crd(index):
    return dict(
        s_feats=dict(recorder='embedding', from_student=True, record_idx=index, connector='crd'),
        t_feats=dict(recorder='embedding', from_student=False, record_idx=index, connector='crd'),
        data_samples=dict(recorder='call', from_student=True, record_idx=index, data_idx=1),
    )


# Settings beside the type, and where the arguments come from.
LOSSES = dict(
    KLDivergence=(dict(tau=2), logits),
    CrossEntropyLoss=(dict(), logits),
    DKDLoss=(dict(tau=2, reduction='batchmean'), lambda i: logits(i) | labels(i)),
    DISTLoss=(dict(), lambda i: logits(i, 'logits_S', 'logits_T')),
    WSLD=(dict(num_classes=K), lambda i: logits(i, 'student', 'teacher') | labels(i)),
    DistanceWiseRKD=(dict(), embeddings),
    AngleWiseRKD=(dict(), embeddings),
    L1Loss=(dict(), maps),
    L2Loss=(dict(), maps),
    ATLoss=(dict(), maps),
    ABLoss=(dict(), maps),
    OFDLoss=(dict(), maps),
    FTLoss=(dict(), maps),
    CRDLoss=(dict(neg_num=4, sample_n=16, dim_out=8), crd),
    ChannelWiseDivergence=(dict(), lambda i: embeddings_of_maps(i)),
    PKDLoss=(dict(), lambda i: embeddings_of_maps(i)),
)


def embeddings_of_maps(index):
    return dict(
        preds_S=dict(recorder='maps', from_student=True, record_idx=index),
        preds_T=dict(recorder='maps', from_student=False, record_idx=index),
    )


# Of this project, on records of its own.
OWN = dict(
    StageContrastiveLoss=(dict(), lambda i: stages(i)),
    ReviewKDLoss=(dict(), lambda i: stages(i)),
    SPLoss=(dict(), maps),
    NSTLoss=(dict(), maps),
    VIDLoss=(dict(student_channels=WIDTH, teacher_channels=WIDTH), maps),
    PKTLoss=(dict(), lambda i: embeddings_of(i)),
    CTKDLoss=(dict(), logits),
    MLKDLoss=(dict(), logits),
    FeatureFusionLoss=(
        dict(student_channels=WIDTH, teacher_channels=WIDTH, num_classes=K),
        lambda i: maps(i) | logits(i) | labels(i),
    ),
)


def embeddings_of(index):
    return dict(
        s_feature=dict(recorder='embedding', from_student=True, record_idx=index),
        t_feature=dict(recorder='embedding', from_student=False, record_idx=index),
    )


def stages(index):
    return dict(
        s_features=dict(
            recorder='stages', from_student=True, record_idx=index, connector='student_stages'
        ),
        t_features=dict(
            recorder='stages', from_student=False, record_idx=index, connector='teacher_stages'
        ),
    )


# And why the others do not fit.
OTHERS = dict(
    ActivationLoss='trains a generator of images',
    InformationEntropyLoss='trains a generator of images',
    OnehotLikeLoss='trains a generator of images',
    FBKDLoss='compares what its own connector makes of the maps of a detector',
    KDSoftCELoss='needs MMCls',
    MGDLoss='compares what its own connector makes of the maps',
)


def batch(num_clean=6, num_boundary=4):
    torch.manual_seed(0)
    samples = [
        DataSample(metainfo=dict(sample_idx=index)).set_gt_label(index % K)
        for index in range(num_clean + num_boundary)
    ]
    return torch.randn(len(samples), 3, 8, 8), samples


def test_every_loss_of_mmrazor_is_here():
    assert set(LOSSES) | set(OTHERS) == set(upstream.__all__)


@pytest.mark.parametrize('index', [0, 1], ids=['clean', 'boundary'])
@pytest.mark.parametrize('kind', [*LOSSES, *OWN])
def test_amkd_beside_a_loss(kind, index):
    """It is computed on the rows it names, and reaches the student beside AMKD's own losses."""
    config = Config.fromfile(f'{CONFIGS}/amkd.py').model
    settings, mapping = (LOSSES | OWN)[kind]
    distiller = config.distiller
    for side in ('student', 'teacher'):
        distiller[f'{side}_recorders'].update(
            maps=dict(type='ModuleOutputs', source='backbone.layer3'),
            embedding=dict(type='Embedding'),
            stages=dict(type='Stages', sources=['backbone.layer2', 'backbone.layer3']),
        )
    distiller.student_recorders.update(call=dict(type='ModuleInputs', source=''))
    fusion = dict(type='FeatureFusionConnector', in_channels=[32, 64], out_channels=8)
    distiller.connectors = dict(
        crd=dict(type='CRDConnector', dim_in=WIDTH, dim_out=8),
        student_stages=fusion,
        teacher_stages=fusion,
    )
    distiller.distill_losses.loss_other = dict(type=kind, **settings)
    distiller.loss_forward_mappings.loss_other = mapping(index)
    model = MODELS.build(dict(config, architecture=NETWORK, teacher=NETWORK)).train()
    torch.nn.init.normal_(model.teacher.head.fc.weight)

    inputs, samples = batch()
    losses = step_with_samples(model, inputs, samples, num_clean=6)
    names = ('loss_kl', 'loss_boundary', 'loss_triplet', 'loss_other')
    assert {f'distill.{name}' for name in names} <= set(losses)
    assert all(torch.isfinite(torch.as_tensor(value)).all() for value in losses.values())
    weight = model.student.backbone.conv1.weight
    (gradient,) = torch.autograd.grad(losses['distill.loss_other'].sum(), weight)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0

    # Without boundary rows the loss that reads them is skipped, and only that.
    losses = model.loss(inputs[:6], samples[:6])
    assert ('distill.loss_other' in losses) == (index == 0)


@pytest.mark.parametrize(
    'algorithm, base',
    [('SingleTeacherDistill', 'kd'), ('OverhaulFeatureDistillation', 'ofd')],
)
def test_the_triplet_loss_in_an_algorithm_of_mmrazor(algorithm, base):
    """Beside that algorithm's own losses, with the teacher's embeddings as positives."""
    config = Config.fromfile(f'{CONFIGS}/{base}.py').model
    distiller = config.distiller
    for side in ('student', 'teacher'):
        distiller[f'{side}_recorders'].embedding = dict(type='Embedding')
    distiller.student_recorders.labels = dict(type='Labels')
    distiller.distill_losses.loss_triplet = dict(type='TripletDistillLoss')
    own, taught = (dict(recorder='embedding', from_student=side) for side in (True, False))
    given = dict(recorder='labels', from_student=True)
    distiller.loss_forward_mappings.loss_triplet = dict(
        anchor=own, anchor_labels=given, reference=own, reference_labels=given, positive=taught
    )
    networks = dict(architecture=NETWORK, teacher=NETWORK)
    # OFD looks for batch norm, and its base for the depths of its pair.
    for network, depth in zip(networks.values(), (8, 26), strict=True):
        network['backbone'] = dict(type='CifarResNet', depth=depth)
    model = MODELS.build(dict(config, **networks, type=algorithm)).train()

    inputs, samples = batch(num_boundary=0)
    losses = model.loss(inputs, samples)
    embeddings = [
        recorders.get_recorder('embedding').get_record_data().flatten(1)
        for recorders in (model.distiller.student_recorders, model.distiller.teacher_recorders)
    ]
    labels = torch.cat([sample.gt_label for sample in samples])
    own, taught = (torch.nn.functional.normalize(each, dim=1) for each in embeddings)
    near = (own - taught).norm(dim=1)
    far = [(own[i] - own[labels != labels[i]]).norm(dim=1).min() for i in range(len(own))]
    expected = (near - torch.stack(far) + 0.3).clamp_min(0).mean()
    torch.testing.assert_close(losses['distill.loss_triplet'], expected)
    assert len([name for name in losses if name.startswith('distill.')]) > 1
    assert torch.autograd.grad(expected, model.student.backbone.conv1.weight)[0].abs().sum() > 0
