"""AMKD against plain PyTorch, against MMRazor's SingleTeacherDistill, and in a real Runner."""

import copy
import runpy
from functools import partial
from pathlib import Path

import mmrazor
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch import nn
from torch.utils.data import DataLoader

import networks
from amkd_mm.algorithms.boundary_norm import normalize_boundary_samples
from amkd_mm.classifiers.activation_checkpointing import checkpointed
from amkd_mm.samplers import Sampler, SampleRequest, Samples
from caught import warnings_of
from distillers import from_both
from given_samples import Given, step_with_samples

NUM_CLASSES = 5


# With group norm, a row does not depend on the others.
classifier = partial(networks.classifier, num_classes=NUM_CLASSES, norm='GN')


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random_dropping_classifier():
    """A vision transformer with dropout and stochastic depth."""
    arch = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
    backbone = dict(
        type='VisionTransformer',
        arch=arch,
        img_size=8,
        patch_size=4,
        drop_rate=0.5,
        drop_path_rate=0.5,
    )
    head = dict(type='VisionTransformerClsHead', num_classes=NUM_CLASSES, in_channels=16)
    return dict(_scope_='mmpretrain', type='ImageClassifier', backbone=backbone, head=head)


def record(recorder, student, record_idx=0, **kwargs):
    return dict(recorder=recorder, from_student=student, record_idx=record_idx, **kwargs)


def distiller(**changes):
    """KD on clean and on boundary rows, and the triplet loss between both."""
    config = dict(
        type='ConfigurableDistiller',
        student_recorders=dict(
            logits=dict(type='ModuleOutputs', source='head'),
            embedding=dict(type='ModuleOutputs', source='neck.gap'),
            loss_inputs=dict(type='ModuleInputs', source='head.loss_module'),
        ),
        teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='head')),
        distill_losses=dict(
            loss_kl=dict(type='KLDivergence', tau=3, loss_weight=0.4),
            loss_boundary=dict(type='KLDivergence', tau=3, loss_weight=0.2),
            loss_triplet=dict(type='TripletDistillLoss', margin=1.0, loss_weight=0.7),
        ),
        loss_forward_mappings=dict(
            loss_kl=from_both(),
            loss_boundary=from_both(record_idx=1),
            loss_triplet=dict(
                anchor=record('embedding', True, 1),
                anchor_labels=record('loss_inputs', True, 1, data_idx=1),
                reference=record('embedding', True),
                reference_labels=record('loss_inputs', True, data_idx=1),
            ),
        ),
    )
    return config | changes


def only(*losses):
    """The same with these losses only."""
    config = distiller()
    for key in ('distill_losses', 'loss_forward_mappings'):
        config[key] = {name: value for name, value in config[key].items() if name in losses}
    return config


def amkd(type='AMKD', norm='GN', **changes):
    model = dict(
        _scope_='mmrazor',
        type=type,
        architecture=classifier(norm=norm),
        teacher=classifier(depth=14, norm=norm),
        distiller=distiller(),
    )
    return MODELS.build(model | changes)


def rows(num, size=8, num_classes=NUM_CLASSES):
    inputs = torch.randn(num, 3, size, size)
    return inputs, [DataSample().set_gt_label(label) for label in torch.arange(num) % num_classes]


def batch(num_clean=7, num_boundary=4):
    """Clean images, and behind them samples that were made from the first of them."""
    inputs, samples = rows(num_clean)
    return torch.cat([inputs, rows(num_boundary)[0]]), samples + samples[:num_boundary]


def step(model, inputs, samples, num_clean=7):
    return step_with_samples(model, inputs, samples, num_clean)


def labels_of(samples):
    return torch.cat([sample.gt_label for sample in samples])


def records(model, student, name, record_idx, data_idx=None):
    side = model.distiller.student_recorders if student else model.distiller.teacher_recorders
    return side.get_recorder(name).get_record_data(record_idx, data_idx)


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_same(found, expected, **kwargs):
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], msg=lambda m, n=name: f'{n}: {m}')


# Before its first pass a folded teacher compares itself with the teacher on two images.
COMPARISON = [2, 2]


def count_rows(model):
    """The batch sizes of the forward calls of each network, as they happen."""
    counts = dict(student=[], teacher=[])
    for name, sizes in counts.items():
        getattr(model, name).backbone.register_forward_hook(
            lambda module, inputs, outputs, sizes=sizes: sizes.append(len(inputs[0]))
        )
    return counts


# --- Records ------------------------------------------------------------------------------------


def all_recorders(loss=True):
    """Every type of recorder, on something that runs once in a forward call."""
    recorders = dict(
        out=dict(type='ModuleOutputs', source='head.fc'),
        root_in=dict(type='ModuleInputs', source=''),
        method_out=dict(
            type='MethodOutputs', source='mmpretrain.models.heads.LinearClsHead.forward'
        ),
        method_in=dict(
            type='MethodInputs', source='mmpretrain.models.heads.LinearClsHead.pre_logits'
        ),
        function_out=dict(type='FunctionOutputs', source='torch.nn.functional.adaptive_avg_pool2d'),
        function_in=dict(type='FunctionInputs', source='torch.nn.functional.adaptive_avg_pool2d'),
        weight=dict(type='Parameter', source='head.fc.weight'),
    )
    if loss:
        recorders['loss_in'] = dict(type='ModuleInputs', source='head.loss_module')
    return recorders


@pytest.mark.parametrize('student', [True, False])
def test_first_record_is_clean_and_second_is_boundary(student):
    config = distiller()
    config['student_recorders'].update(all_recorders())
    config['teacher_recorders'].update(all_recorders(loss=False))
    model = amkd(distiller=config).train()
    network = copy.deepcopy(model.student if student else model.teacher)
    inputs, samples = batch()
    step(model, inputs, samples)

    for idx, rows_of_kind in enumerate([slice(7), slice(7, None)]):
        images, kind = inputs[rows_of_kind], samples[rows_of_kind]
        features = network.backbone(images)[0]
        pooled = features.mean((2, 3))
        logits = F.linear(pooled, network.head.fc.weight, network.head.fc.bias)

        def check(name, expected, data_idx=None, idx=idx):
            found = records(model, student, name, idx, data_idx)
            torch.testing.assert_close(found, expected)

        check('out', logits)
        check('logits', logits)
        check('method_out', logits)
        check('root_in', images, 0)
        assert records(model, student, 'root_in', idx, 1) == kind
        (last,) = records(model, student, 'method_in', idx, 0)
        torch.testing.assert_close(last, pooled)
        check('function_out', pooled[..., None, None])
        check('function_in', features, 0)
        if student:
            check('loss_in', logits, 0)
            check('loss_in', labels_of(kind), 1)
    side = model.student if student else model.teacher
    assert records(model, student, 'weight', 0) is side.head.fc.weight
    with pytest.raises(AssertionError, match='length of data_buffer is 2'):
        records(model, student, 'out', 2)


@pytest.mark.parametrize(
    'source', ['backbone.bn1', 'backbone.layer1.0.bn1', 'backbone.layer1.0.bn2']
)
def test_what_works_in_place_does_not_change_a_record(source):
    """MMPretrain's ReLU overwrites its input, and so does its addition of the shortcut."""
    resnet = classifier(norm='BN')
    resnet['backbone'] = dict(
        type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4, norm_eval=True
    )
    resnet['head']['in_channels'] = 32
    recorders = dict(norm=dict(type='ModuleOutputs', source=source))
    losses = dict(
        distill_losses=dict(loss_l2=dict(type='L2Loss')),
        loss_forward_mappings=dict(
            loss_l2=dict(
                s_feature=record('norm', True, 1, data_idx=None), t_feature=record('norm', False, 1)
            )
        ),
    )
    config = distiller(student_recorders=recorders, teacher_recorders=recorders, **losses)
    model = amkd(architecture=resnet, teacher=copy.deepcopy(resnet), distiller=config)
    assert isinstance(model.student.backbone.relu, nn.ReLU)
    model.train()
    inputs, samples = batch()
    step(model, inputs, samples)['distill.loss_l2'].backward()

    for student, network in ((True, model.student), (False, model.teacher)):
        for idx, images in enumerate([inputs[:7], inputs[7:]]):
            x = network.backbone.norm1(network.backbone.conv1(images))
            block = network.backbone.layer1[0]
            if source != 'backbone.bn1':
                x = block.norm1(block.conv1(x.relu()))
            if source == 'backbone.layer1.0.bn2':
                x = block.norm2(block.conv2(x.relu()))
            assert (x < 0).any()
            torch.testing.assert_close(records(model, student, 'norm', idx), x)


# --- Losses -------------------------------------------------------------------------------------


def kl_by_hand(student, teacher, tau=3):
    p, q = (teacher / tau).softmax(1), (student / tau).softmax(1)
    return (p * (p.log() - q.log())).sum(1).mean() * tau**2


def triplet_by_hand(anchors, anchor_labels, references, labels, margin):
    unit = [x / x.norm(dim=1, keepdim=True) for x in (anchors, references)]
    hinges = []
    for anchor, label in zip(unit[0], anchor_labels, strict=True):
        distances = (anchor - unit[1]).square().sum(1).sqrt()
        same = labels == label
        hinge = distances[same].mean() - distances[~same].min() + margin
        hinges.append(hinge.clamp(min=0))
    return torch.stack(hinges).mean()


@pytest.mark.parametrize('norm', ['GN', 'BN'])
def test_losses_and_gradients_equal_plain_pytorch(norm):
    model = amkd(norm=norm).train()
    student, teacher = copy.deepcopy(model.student).train(), copy.deepcopy(model.teacher).eval()
    inputs, samples = batch()
    losses = step(model, inputs, samples)
    total(losses).backward()

    def run(network, images):
        pooled = network.backbone(images)[0].mean((2, 3))
        return pooled, network.head.fc(pooled)

    labels = labels_of(samples)
    # In this order: batch norm first takes the clean rows' statistics, then the others'.
    features, logits = run(student, inputs[:7])
    boundary_features, boundary_logits = run(student, inputs[7:])
    with torch.no_grad():
        taught, boundary_taught = run(teacher, inputs[:7])[1], run(teacher, inputs[7:])[1]
    expected = {
        'student.loss': F.cross_entropy(logits, labels[:7]),
        'distill.loss_kl': 0.4 * kl_by_hand(logits, taught),
        'distill.loss_boundary': 0.2 * kl_by_hand(boundary_logits, boundary_taught),
        'distill.loss_triplet': 0.7
        * triplet_by_hand(boundary_features, labels[7:], features, labels[:7], margin=1.0),
    }
    assert min(expected.values()) > 1e-3
    assert_same(losses, expected)

    total(expected).backward()
    assert_same(gradients(model.student), gradients(student))
    assert_same(model.student.state_dict(), student.state_dict())
    assert len(gradients(student)) == len(list(student.parameters()))
    assert not gradients(model.teacher)
    assert_same(model.teacher.state_dict(), teacher.state_dict())


def test_batch_norm_sees_clean_rows_first():
    """Of two updates the last one counts more."""
    model = amkd(norm='BN').train()
    inputs, samples = batch()
    norms = []
    for order in ([slice(7), slice(7, None)], [slice(7, None), slice(7)]):
        student = copy.deepcopy(model.student)
        for kind in order:
            student(inputs[kind], mode='tensor')
        norms.append(student.backbone.bn1.running_mean)
    step(model, inputs, samples)
    found = model.student.backbone.bn1.running_mean
    torch.testing.assert_close(found, norms[0])
    assert not torch.allclose(found, norms[1])


@pytest.mark.parametrize('choice', ['update', 'batch', 'running'])
def test_boundary_norm(choice):
    model = amkd(norm='BN', boundary_norm=choice).train()
    inputs, samples = batch()
    reference = copy.deepcopy(model.student)
    reference(inputs[:7], mode='tensor')
    after_clean = copy.deepcopy(reference.state_dict())
    reference.train(choice != 'running')
    logits = reference(inputs[7:], mode='tensor')
    step(model, inputs, samples)
    torch.testing.assert_close(records(model, True, 'logits', 1), logits)
    expected = reference.state_dict() if choice == 'update' else after_clean
    assert_same(model.student.state_dict(), expected)
    # The next step is as the first.
    norm = model.student.backbone.bn1
    assert norm.training and norm.track_running_stats


def test_unknown_boundary_norm():
    with pytest.raises(ValueError, match="model.boundary_norm must be one of .*'own'"):
        amkd(boundary_norm='own')


def checkpointed_student(by=None, norm='BN'):
    """An algorithm whose student checkpoints activations by MMPretrain or by the Runner."""
    torch.manual_seed(0)
    student = classifier(norm=norm)
    student['backbone'].update(
        type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4, with_cp=by == 'flag'
    )
    student['head']['in_channels'] = 32
    return student


@pytest.mark.parametrize('by', ['flag', 'runner'])
@pytest.mark.parametrize(
    ('choice', 'num_boundary'), [('update', 1), ('update', 3), ('batch', 3), ('running', 3)]
)
def test_activation_checkpointing_changes_no_gradient(choice, num_boundary, by):
    """It runs batch norm once more, in the backward pass, as for clean rows."""
    inputs, samples = batch(num_boundary=num_boundary)
    found = []
    for kind in (None, by):
        model = amkd(architecture=checkpointed_student(kind), boundary_norm=choice).train()
        if kind == 'runner':
            layers = ['architecture.backbone.layer3', 'architecture.backbone.layer4']
            turn_on_activation_checkpointing(model, layers)
        places = [(type(m), name) for m, name, _ in checkpointed(model)]
        assert bool(places) is (kind is not None)
        total(step(model, inputs, samples)).backward()
        found.append([p.grad for p in model.student.parameters()])
        assert [(type(m), name) for m, name, _ in checkpointed(model)] == places
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('norm', ['GN', 'BN'])
def test_rows_that_are_treated_as_clean_ones_are_checkpointed(norm):
    """Without batch norm all are, so that they need no more memory."""
    model = amkd(architecture=checkpointed_student('flag', norm), boundary_norm='batch').train()
    with normalize_boundary_samples(model.student, 'batch', 3):
        assert bool(checkpointed(model.student)) is (norm == 'GN')


@pytest.mark.parametrize('num_boundary', [1, 2])
def test_a_single_boundary_row_and_batch_norm_of_one_pixel(num_boundary):
    """PyTorch refuses the batch statistics of one value per channel."""
    narrow = dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4)
    student = classifier(norm='BN')
    student['backbone'] = narrow
    student['head']['in_channels'] = 32
    model = amkd(architecture=student).train()
    reference = copy.deepcopy(model.student)
    inputs, samples = batch(num_boundary=num_boundary)
    losses = step(model, inputs, samples)
    assert 'distill.loss_boundary' in losses
    total(losses).backward()

    reference(inputs[:7], mode='tensor')
    reference.train(num_boundary > 1)
    logits = reference(inputs[7:], mode='tensor')
    torch.testing.assert_close(records(model, True, 'logits', 1), logits)
    assert_same(model.student.state_dict(), reference.state_dict())
    assert all(module.training for module in model.student.modules())


def test_a_single_clean_row_is_treated_as_upstream():
    model = amkd(norm='BN', distiller=only('loss_kl')).train()
    before = model.student.backbone.bn1.running_mean.clone()
    model.loss(*rows(1))
    assert not torch.equal(model.student.backbone.bn1.running_mean, before)


def test_automatic_mixed_precision():
    model = amkd(norm='BN').train()
    inputs, samples = batch()
    expected = step(model, inputs, samples)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = step(model, inputs, samples)
        assert records(model, True, 'logits', 1).dtype == torch.bfloat16
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], rtol=0.05, atol=0.005)
    total(losses).backward()
    assert all(gradient.isfinite().all() for gradient in gradients(model.student).values())


# --- Batches without boundary rows --------------------------------------------------------------


def test_only_losses_of_boundary_rows_are_skipped():
    model = amkd().train()
    inputs, samples = batch()
    with_rows = step(model, inputs, samples)
    without = model.loss(inputs[:7], samples[:7])
    # A mapping once left out must come back.
    again = step(model, inputs, samples)
    assert set(without) == {'student.loss', 'distill.loss_kl'}
    assert_same(without, {name: with_rows[name] for name in without})
    assert_same(again, with_rows)


def test_a_recorded_parameter_stays_one_record():
    """Its buffer is never emptied."""
    config = distiller()
    for side in ('student', 'teacher'):
        weight = dict(type='Parameter', source='head.fc.weight')
        config[f'{side}_recorders']['weight'] = weight
    model = amkd(distiller=config)
    for _ in range(4):
        model.loss(*rows(5))
    for side in ('student', 'teacher'):
        recorder = getattr(model.distiller, f'{side}_recorders').get_recorder('weight')
        assert len(recorder.data_buffer) == 1


@pytest.mark.parametrize('present', [(1, 2), (2,), (1,), ()])
def test_rows_of_two_hooks(present):
    """Those of the second have `record_idx=2`, also in steps in which the first makes none."""
    config = distiller(
        distill_losses={f'loss_{i}': dict(type='KLDivergence', tau=3) for i in range(3)},
        loss_forward_mappings={f'loss_{i}': from_both(record_idx=i) for i in range(3)},
    )
    model = amkd(distiller=config)
    parts = {0: rows(5)}
    model.samplers = [Given(), Given()]
    for group in present:
        parts[group] = rows(2 + group)
        sampler = model.samplers[group - 1]
        sampler.inputs = parts[group][0]
        model.request_samples(sampler, SampleRequest(0, (8, 8)))
    losses = model.loss(*parts[0])

    found = {name for name in losses if name.startswith('distill.')}
    assert found == {f'distill.loss_{group}' for group in parts}
    for group, (images, _) in parts.items():
        logits = [network(images, mode='tensor') for network in (model.student, model.teacher)]
        for student, expected in zip((True, False), logits, strict=True):
            torch.testing.assert_close(records(model, student, 'logits', group), expected)
        torch.testing.assert_close(losses[f'distill.loss_{group}'], kl_by_hand(*logits))


@pytest.mark.parametrize('losses', [('loss_kl',), ('loss_kl', 'loss_boundary', 'loss_triplet')])
def test_rows_that_no_loss_reads_are_not_run(losses):
    model = amkd(distiller=only(*losses), norm='BN').train()
    counts = count_rows(model)
    step(model, *batch())
    expected = [7, 4] if 'loss_boundary' in losses else [7]
    assert counts == dict(student=expected, teacher=COMPARISON + expected)
    model.distillation_stopped = True
    assert set(step(model, *batch())) == {'student.loss'}
    assert counts == dict(student=[*expected, 7], teacher=[*COMPARISON, *expected, 7])


CONFIGS = Path(mmrazor.__file__).parent / '.mim/configs/distill/mmcls'
# How much narrower the networks are than those of MMRazor's configs.
SHRINK = 8


def shrink(config):
    """Adapt the connectors of a config to narrower networks."""
    for key, value in config.items():
        if isinstance(value, dict):
            shrink(value)
        elif key in ('in_channel', 'out_channel'):
            config[key] = value // SHRINK


def shipped(name):
    """What a config of MMRazor says about the algorithm, without its networks."""
    (path,) = CONFIGS.glob(name)
    model = runpy.run_path(str(path))['model']
    for key in ('_scope_', 'type', 'architecture', 'teacher', 'teacher_ckpt', 'init_cfg'):
        model.pop(key, None)
    shrink(model)
    return model


def factor_transfer():
    """The second stage; its config inherits from that of the first."""
    model = shipped('factor_transfer/*_pretrain.py')
    train = shipped('factor_transfer/*_train.py')['distiller']
    train['loss_forward_mappings'].pop('_delete_')
    model['distiller']['connectors']['loss_s4_tfeat'].update(phase='train')
    for key in ('distill_losses', 'loss_forward_mappings'):
        model['distiller'][key] = train[key]
    return {'distiller': model['distiller']}


SHIPPED = dict(
    kd=lambda: shipped('kd/*resnet34_resnet18*.py'),
    dkd=lambda: shipped('dkd/*.py'),
    dist=lambda: shipped('dist/*.py'),
    rkd=lambda: shipped('rkd/*.py'),
    wsld=lambda: shipped('wsld/*.py'),
    fitnets=lambda: shipped('fitnets/*.py'),
    ab_pretrain=lambda: shipped('abloss/*pretrain*.py'),
    ab=lambda: shipped('abloss/*logits*.py'),
    factor_transfer_pretrain=lambda: shipped('factor_transfer/*_pretrain.py'),
    factor_transfer=factor_transfer,
)


def resnet(depth, in_channels):
    """A network of MMRazor's ImageNet configs, but for its width."""
    backbone = dict(type='ResNet', depth=depth, stem_channels=8, base_channels=64 // SHRINK)
    config = classifier(norm='BN')
    config['backbone'] = backbone
    config['head'].update(num_classes=1000, in_channels=in_channels // SHRINK)
    return config


def resnets(type, config):
    """A ResNet-18 that learns from a ResNet-50."""
    networks = dict(architecture=resnet(18, 512), teacher=resnet(50, 2048))
    model = MODELS.build(dict(_scope_='mmrazor', type=type) | networks | copy.deepcopy(config))
    model.train()
    return model


@pytest.mark.filterwarnings('ignore:size_average', 'ignore:reduction')
@pytest.mark.parametrize('name', SHIPPED)
def test_shipped_configs_give_the_same_as_upstream(name):
    """Losses, gradients and batch norm statistics, with the same weights.

    In double precision, where folded batch norm makes no visible difference.
    """
    config = SHIPPED[name]()
    upstream, ours = (resnets(type, config).double() for type in ('SingleTeacherDistill', 'AMKD'))
    ours.load_state_dict(upstream.state_dict())
    inputs, samples = rows(4, size=32)
    images = inputs.double(), samples
    results = []
    for model in (upstream, ours):
        losses = model.loss(*images)
        total(losses).backward()
        results.append((losses, gradients(model), model.state_dict()))
    assert any(name.startswith('distill.') for name in results[0][0])
    for found, expected in zip(results[1], results[0], strict=True):
        assert_same(found, expected)


@pytest.mark.filterwarnings('ignore:size_average', 'ignore:reduction')
@pytest.mark.parametrize('name', ['dkd', 'fitnets'])
def test_shipped_configs_with_boundary_rows(name):
    """A loss of boundary rows joins, and the config's own losses stay as they were.

    FitNets reads the second and third record of clean rows: the ReLU of a block runs as often.
    """
    config = SHIPPED[name]()
    config['distiller']['distill_losses']['loss_boundary'] = dict(type='KLDivergence')
    config['distiller']['loss_forward_mappings']['loss_boundary'] = dict(
        preds_S=record('fc', True, 1), preds_T=record('fc', False, 1)
    )
    model = resnets('AMKD', config)
    clean, boundary = rows(4, size=32), rows(3, size=32)
    with pytest.warns(UserWarning, match=r"\['loss_boundary'\] read boundary samples"):
        expected = model.loss(*clean)
    found = step(model, torch.cat([clean[0], boundary[0]]), clean[1], num_clean=4)
    assert set(found) - set(expected) == {'distill.loss_boundary'}
    assert_same({key: found[key] for key in expected}, expected)


def overhaul(type, **changes):
    """Overhaul feature distillation, whose connector needs the teacher's weights."""
    source = dict(type='ModuleOutputs', source='backbone.layer3.0.bn1')
    config = dict(
        type='OFDDistiller',
        student_recorders=dict(norm=source),
        teacher_recorders=dict(norm=source),
        distill_losses=dict(loss_ofd=dict(type='OFDLoss')),
        connectors=dict(loss_ofd_tfeat=dict(type='OFDTeacherConnector')),
        loss_forward_mappings=dict(
            loss_ofd=dict(
                s_feature=record('norm', True),
                t_feature=record('norm', False, connector='loss_ofd_tfeat'),
            )
        ),
    )
    return amkd(type, norm='BN', distiller=config, **changes)


def test_overhaul_feature_distillation(tmp_path):
    """The margins are those of the loaded teacher."""
    teacher = MODELS.build(classifier(depth=14, norm='BN'))
    nn.init.normal_(teacher.backbone.layer3[0].bn1.bias)
    path = str(tmp_path / 'teacher.pth')
    torch.save(teacher.state_dict(), path)
    upstream = overhaul('OverhaulFeatureDistillation', teacher_ckpt=path)
    ours = overhaul('AMKD', teacher_ckpt=path)
    ours.load_state_dict(upstream.state_dict())
    for model in (ours, upstream):
        model.train()
    images = rows(4)
    assert_same(ours.loss(*images), upstream.loss(*images))


# --- Teacher ------------------------------------------------------------------------------------


def modes(model):
    return {name: module.training for name, module in model.named_modules()}


def dropping_model(type='AMKD', **changes):
    networks = dict(teacher=random_dropping_classifier(), distiller=only('loss_kl'))
    return amkd(type, **networks, **changes)


def test_the_whole_teacher_is_in_evaluation_mode():
    model = dropping_model()
    inputs, samples = batch()

    def teach():
        model.loss(inputs[:7], samples[:7])
        return records(model, False, 'logits', 0)

    assert not any(modes(model.teacher).values())
    assert model.train() is model
    assert not any(modes(model.teacher).values()) and all(modes(model.student).values())
    taught = teach()
    torch.testing.assert_close(teach(), taught, rtol=0, atol=0)
    torch.testing.assert_close(model.teacher.eval()(inputs[:7], mode='tensor'), taught)
    # As around a validation.
    assert model.eval() is model
    assert not any(modes(model).values())
    model.train()
    torch.testing.assert_close(teach(), taught, rtol=0, atol=0)


def recording(recorder):
    """Distillation on the logits of clean rows, with another recorder of the teacher."""
    config = only('loss_kl')
    config['teacher_recorders']['other'] = recorder
    return config


def delivering():
    """Distillation on the logits, of what the teacher's pooling gives."""
    path = 'mmpretrain.models.necks.GlobalAveragePooling.forward'
    delivery = dict(type='MethodOutputs', method_path=path, max_keep_data=1)
    return {**only('loss_kl'), 'distill_deliveries': dict(pooled=delivery)}


FUNCTION = 'torch.nn.functional.adaptive_avg_pool2d'


@pytest.mark.parametrize(
    ('runs_itself', 'changes'),
    [
        (False, dict()),
        # Neck and head are shared with the copy.
        (False, dict(distiller=recording(dict(type='ModuleInputs', source='neck')))),
        (False, dict(distiller=recording(dict(type='Parameter', source='backbone.conv1.weight')))),
        # Of the copy these would record nothing, or something else.
        (True, dict(distiller=recording(dict(type='ModuleOutputs', source='backbone.layer1')))),
        (True, dict(distiller=recording(dict(type='ModuleInputs', source='backbone')))),
        (True, dict(distiller=recording(dict(type='FunctionOutputs', source=FUNCTION)))),
        (True, dict(distiller=delivering())),
        (True, dict(teacher_eval=False)),
        (True, dict(teacher_trainable=True)),
    ],
)
def test_teacher_runs_itself_only_where_it_must(runs_itself, changes):
    model = amkd(norm='BN', **changes).train()
    normalised = []
    model.teacher.backbone.bn1.register_forward_hook(lambda *_: normalised.append(1))
    step(model, *batch())
    del normalised[:]  # The copy has been compared with the teacher.
    step(model, *batch())
    assert bool(normalised) == runs_itself
    assert len(records(model, False, 'logits', 0)) == 7
    if 'other' in model.distiller.teacher_recorders.recorders:
        assert len(records(model, False, 'other', 0)) > 0


def test_fast_teacher_follows_a_checkpoint():
    """Weights that are loaded between two steps."""
    model = amkd(norm='BN').train()
    inputs, samples = batch()
    step(model, inputs, samples)
    other = MODELS.build(classifier(depth=14, norm='BN'))
    model.teacher.load_state_dict(other.state_dict())
    step(model, inputs, samples)
    expected = model.teacher(inputs[:7], mode='tensor')
    torch.testing.assert_close(records(model, False, 'logits', 0), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not hasattr(torch, 'compile'), reason='needs PyTorch 2')
def test_teacher_compile():
    compiled = []

    def backend(graph, example_inputs):
        compiled.append(graph)
        return graph.forward

    model = amkd(norm='BN', teacher_compile=dict(backend=backend)).train()
    plain = amkd(norm='BN').train()
    plain.load_state_dict(model.state_dict())
    images = batch()
    assert_same(step(model, *images), step(plain, *images))
    assert compiled


def test_teacher_eval_off_is_upstream_behaviour():
    model = dropping_model(teacher_eval=False).train()
    upstream = dropping_model('SingleTeacherDistill')
    upstream.train()
    assert modes(model.teacher) == modes(upstream.teacher)
    assert model.teacher.backbone.layers[2].attn.out_drop.training
    inputs, samples = batch()
    taught = []
    for _ in range(2):
        model.loss(inputs[:7], samples[:7])
        taught.append(records(model, False, 'logits', 0))
    assert not torch.equal(*taught)


def test_loss_of_the_teacher_is_not_computed():
    model = amkd().train()

    def refuse(*args, **kwargs):
        raise AssertionError('the loss of the teacher was computed')

    model.teacher.head.loss = model.teacher.head.loss_module.forward = refuse
    called = []
    model.student.head.loss_module.register_forward_hook(lambda *_: called.append(1))
    step(model, *batch())
    assert len(called) == 2


@pytest.mark.parametrize('with_rows', [False, True])
def test_trainable_teacher(with_rows):
    """As upstream: its losses and its gradients count; batch norm is the only thing frozen."""
    config = only('loss_kl') if not with_rows else distiller()
    model = amkd(distiller=config, norm='BN', teacher_trainable=True).train()
    upstream = amkd(
        'SingleTeacherDistill', distiller=only('loss_kl'), norm='BN', teacher_trainable=True
    )
    upstream.load_state_dict(model.state_dict())
    upstream.train()
    assert modes(model.teacher) == modes(upstream.teacher)
    assert model.teacher.training and not model.teacher.backbone.bn1.training

    inputs, samples = batch()
    found = step(model, inputs, samples) if with_rows else model.loss(inputs[:7], samples[:7])
    expected = upstream.loss(inputs[:7], samples[:7])
    assert ('distill.loss_boundary' in found) == with_rows
    assert_same({name: found[name] for name in expected}, expected)
    found['teacher.loss'].backward()
    expected['teacher.loss'].backward()
    assert len(gradients(model.teacher)) == len(list(model.teacher.parameters()))
    assert_same(gradients(model.teacher), gradients(upstream.teacher))


# --- Switches of SingleTeacherDistill -----------------------------------------------------------


@pytest.mark.parametrize('student_trainable', [True, False])
def test_without_student_loss(student_trainable):
    options = dict(calculate_student_loss=False, student_trainable=student_trainable)
    config = only('loss_kl')
    config['connectors'] = dict(linear=dict(type='TorchNNConnector', module_name='Linear'))
    config['connectors']['linear']['module_args'] = dict(
        in_features=NUM_CLASSES, out_features=NUM_CLASSES
    )
    config['loss_forward_mappings']['loss_kl']['preds_S']['connector'] = 'linear'
    ours = amkd(distiller=config, **options).train()
    upstream = amkd('SingleTeacherDistill', distiller=config, **options)
    ours.load_state_dict(upstream.state_dict())
    upstream.train()
    images = rows(5)
    for model in (ours, upstream):
        losses = model.loss(*images)
        assert set(losses) == {'distill.loss_kl'}
        total(losses).backward()
    assert bool(gradients(ours.student)) == student_trainable
    assert_same(gradients(ours), gradients(upstream))


def test_student_loss_is_trained_whatever_student_trainable_says():
    model = amkd(student_trainable=False).train()
    total(step(model, *batch())).backward()
    assert len(gradients(model.student)) == len(list(model.student.parameters()))


def test_gradients_stay_off_where_they_are_off():
    model = amkd().train()
    with torch.no_grad():
        losses = step(model, *batch())
    assert not any(loss.requires_grad for loss in losses.values())


def test_teacher_makes_no_graph():
    """Not even where something asks for the gradients of the images."""
    model = amkd().train()
    inputs, samples = batch()
    step(model, inputs.requires_grad_(), samples)
    for idx in (0, 1):
        assert records(model, True, 'logits', idx).requires_grad
        assert not records(model, False, 'logits', idx).requires_grad


def test_deliveries():
    """The student classifies the teacher's pooled features, row by row."""
    config = only('loss_kl', 'loss_boundary')
    path = 'mmpretrain.models.necks.GlobalAveragePooling.forward'
    config['distill_deliveries'] = dict(
        pooled=dict(type='MethodOutputs', method_path=path, max_keep_data=1)
    )
    model = amkd(distiller=config).train()
    inputs, samples = batch()
    for num_rows in (7, 11, 7):
        losses = step(model, inputs[:num_rows], samples)
        for idx, images in enumerate([inputs[:7], inputs[7:num_rows]]):
            if len(images):
                pooled = model.teacher.extract_feat(images)[0]
                expected = model.student.head.fc(pooled)
                torch.testing.assert_close(records(model, True, 'logits', idx), expected)
        labels = labels_of(samples[:7])
        expected = F.cross_entropy(
            model.student.head.fc(model.teacher.extract_feat(inputs[:7])[0]), labels
        )
        torch.testing.assert_close(losses['student.loss'], expected)


# --- Warning ------------------------------------------------------------------------------------


def test_warns_once_if_nothing_makes_boundary_rows():
    model = amkd().train()
    clean = rows(4)
    (message,) = warnings_of(model.loss, *clean, about='BoundarySampleHook')
    assert "['loss_boundary', 'loss_triplet']" in message and 'default_hooks' in message
    assert not warnings_of(model.loss, *clean, about='BoundarySampleHook')


def test_no_warning_where_rows_come_or_are_not_needed():
    announced, first_step, not_needed = amkd(), amkd(), amkd(distiller=only('loss_kl'))
    # As BoundarySampleHook does; it may begin in a later epoch.
    announced.samplers = [Given()]
    assert not warnings_of(announced.loss, *rows(4), about='BoundarySampleHook')
    assert not warnings_of(step, first_step, *batch(), about='BoundarySampleHook')
    assert not warnings_of(first_step.loss, *rows(4), about='BoundarySampleHook')
    assert not warnings_of(not_needed.loss, *rows(4), about='BoundarySampleHook')


# --- What has no effect --------------------------------------------------------------------------


def test_a_record_that_no_step_makes_is_an_error():
    config = only('loss_kl', 'loss_boundary')
    config['loss_forward_mappings']['loss_boundary'] = from_both(record_idx=2)
    model = amkd(distiller=config).train()
    with pytest.raises(ValueError) as error:
        step(model, *batch())
    text = str(error.value)
    assert 'model.distiller.loss_forward_mappings.loss_boundary.preds_S: record_idx=2' in text
    assert 'at most 1' in text
    # With a second hook there is such a record.
    model = amkd(distiller=config).train()
    model.samplers = [Given(), Given()]
    assert 'distill.loss_kl' in model.loss(*rows(4))


def test_samples_that_no_loss_reads_are_a_warning():
    model = amkd(distiller=only('loss_kl', 'loss_boundary')).train()
    model.samplers = [Given(), Given()]
    found = warnings_of(model.loss, *rows(4), about='no loss reads')
    (text,) = found
    assert 'samples of hook [2] of 2' in text and 'record_idx' in text
    assert not warnings_of(model.loss, *rows(4), about='no loss reads')


def test_a_loss_without_mapping_is_an_error():
    config = distiller()
    del config['loss_forward_mappings']['loss_boundary']
    with pytest.raises(ValueError, match='distill_losses.loss_boundary is never computed'):
        amkd(distiller=config)


def test_what_no_loss_reads_is_a_warning():
    config = only('loss_kl')
    config['connectors'] = dict(fc=dict(type='TorchFunctionalConnector', function_name='relu'))
    found = warnings_of(lambda: amkd(distiller=config), about='no loss')
    assert found == [
        "model.distiller.connectors: no loss reads ['fc']: remove what is not needed",
        "model.distiller.student_recorders: no loss reads ['embedding', 'loss_inputs']: "
        'remove what is not needed',
    ]
    assert not warnings_of(amkd, about='no loss')


def test_a_weight_of_zero_is_a_warning_unless_it_is_scheduled():
    config = only('loss_kl')
    config['distill_losses']['loss_kl']['loss_weight'] = 0
    text = 'model.distiller.distill_losses.loss_kl: loss_weight=0'
    model = amkd(distiller=config)
    assert warnings_of(model.loss, *rows(4), about=text)
    model = amkd(distiller=config)
    model.distiller.distill_losses['loss_kl'].has_weight_schedule = True
    assert not warnings_of(model.loss, *rows(4), about=text)


# --- Construction -------------------------------------------------------------------------------


def test_data_preprocessor_without_type():
    config = dict(mean=[10.0, 20.0, 30.0], std=[1.0, 2.0, 4.0], to_rgb=True)
    model = amkd(data_preprocessor=config)
    # Not changed: a config is read more than once.
    assert set(config) == {'mean', 'std', 'to_rgb'}
    bgr = torch.tensor([38.0, 24.0, 11.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    inputs = model.data_preprocessor(dict(inputs=bgr))['inputs']
    torch.testing.assert_close(inputs[0, :, 0, 0], torch.tensor([1.0, 2.0, 2.0]))


def test_other_data_preprocessors():
    config = dict(type='mmengine.ImgDataPreprocessor', mean=[3.0] * 3, std=[1.0] * 3)
    assert type(amkd(data_preprocessor=config).data_preprocessor).__name__ == 'ImgDataPreprocessor'
    built = MODELS.build(config)
    assert amkd(data_preprocessor=built).data_preprocessor is built
    own = classifier(data_preprocessor=dict(mean=[7.0] * 3, std=[1.0] * 3))
    model = amkd(architecture=own)
    assert model.data_preprocessor is model.student.data_preprocessor
    assert model.data_preprocessor.mean.flatten().tolist() == [7.0] * 3


def test_built_networks():
    student, teacher = MODELS.build(classifier()), MODELS.build(classifier(14))
    model = amkd(architecture=student, teacher=teacher)
    assert model.student is student and model.teacher is teacher


# --- In a Runner --------------------------------------------------------------------------------


class FirstTwo(Sampler):
    """Copies of the first two images."""

    def __call__(self, batch, generator):
        rows = torch.arange(2)
        images = batch.inputs[rows]
        return Samples(images, images, rows, batch.labels[rows], torch.zeros_like(rows), None, {})


class SampleFirstTwo(Hook):
    """Stands in for BoundarySampleHook."""

    sampler = FirstTwo()

    def before_train(self, runner):
        runner.model.samplers = [self.sampler]

    def before_train_iter(self, runner, batch_idx, data_batch):
        runner.model.request_samples(self.sampler, SampleRequest(0, (8, 8)))


class Watch(Hook):
    """What happens in each step and validation."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.logged, self.metrics, self.teacher_modes = [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.logged.append(set(outputs))
        self.teacher_modes.append(any(modes(runner.model.teacher).values()))

    def after_val_epoch(self, runner, metrics):
        self.metrics.append(metrics)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A Runner after two epochs of three steps; distillation stopped after the first."""
    torch.manual_seed(1)
    model = amkd(
        norm='BN', data_preprocessor=dict(mean=[100.0, 120.0, 140.0], std=[50.0] * 3, to_rgb=True)
    )
    # Far from uniform predictions, to have accuracies that tell the two networks apart.
    nn.init.normal_(model.teacher.head.fc.weight)
    model.teacher._is_init = True
    images = torch.randint(0, 256, (24, 3, 8, 8), dtype=torch.uint8)
    teacher = copy.deepcopy(model.teacher).eval()
    inputs = (images.flip(1) - torch.tensor([100.0, 120.0, 140.0]).view(3, 1, 1)) / 50
    labels = teacher(inputs, mode='tensor').argmax(1)
    labels[::4] = (labels[::4] + 1) % NUM_CLASSES
    data = [
        dict(inputs=image, data_samples=DataSample().set_gt_label(label))
        for image, label in zip(images, labels, strict=True)
    ]
    watch, counts = Watch(), count_rows(model)
    folder = tmp_path_factory.mktemp('run')
    # A Runner leaves its default scope behind.
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        runner = Runner(
            model=model,
            work_dir=str(folder),
            default_scope='mmpretrain',
            experiment_name=folder.name,
            train_dataloader=DataLoader(data, batch_size=8, collate_fn=pseudo_collate),
            val_dataloader=DataLoader(data, batch_size=6, collate_fn=pseudo_collate),
            train_cfg=dict(by_epoch=True, max_epochs=2),
            val_cfg=dict(type='mmrazor.SingleTeacherDistillValLoop'),
            val_evaluator=dict(type='Accuracy', topk=(1,)),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            custom_hooks=[SampleFirstTwo(), dict(type='mmrazor.StopDistillHook', stop_epoch=1)],
        )
        runner.register_hook(watch)
        runner.train()
    return dict(
        model=model,
        teacher=teacher,
        watch=watch,
        counts={side: list(sizes) for side, sizes in counts.items()},
        inputs=inputs,
        labels=labels,
    )


def test_runner_reports_the_accuracies_of_both(run):

    def accuracy(network):
        network.eval()
        with torch.no_grad():
            hits = network(run['inputs'], mode='tensor').argmax(1) == run['labels']
        return hits.float().mean().item() * 100

    metrics = run['watch'].metrics[-1]
    assert metrics['teacher.accuracy/top1'] == pytest.approx(75)
    assert accuracy(run['teacher']) == pytest.approx(75)
    assert metrics['accuracy/top1'] == pytest.approx(accuracy(run['model'].student))
    assert metrics['accuracy/top1'] != pytest.approx(75)


def test_runner_leaves_the_teacher_alone(run):
    assert run['watch'].teacher_modes == [False] * 6
    assert_same(run['model'].teacher.state_dict(), run['teacher'].state_dict())


def test_runner_stops_the_distillation(run):
    """StopDistillHook: neither distillation losses nor boundary rows in the second epoch."""
    names = {'student.loss', 'distill.loss_kl', 'distill.loss_boundary', 'distill.loss_triplet'}
    expected = [names | {'loss'}] * 3 + [{'student.loss', 'loss'}] * 3
    assert run['watch'].logged == expected
    training = [8, 2] * 3, [8] * 3
    validation = [6] * 4
    expected = [*training[0], *validation, *training[1], *validation]
    assert run['counts'] == dict(student=expected, teacher=COMPARISON + expected)
