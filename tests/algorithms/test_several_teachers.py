"""One student of two teachers, against plain forward passes; and what a config may get wrong."""

import copy
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner.checkpoint import save_checkpoint
from mmrazor.registry import MODELS

from amkd_mm.benchmarking.complexity import size_of
from amkd_mm.checkpoints.distillation import existing_teacher_files, lacks_teacher_file
from amkd_mm.checkpoints.files import named_checkpoints
from amkd_mm.cli.console_log import describe_networks
from amkd_mm.diagnostics.trial_step import try_step
from amkd_mm.hooks.class_check_hook import teachers_of
from amkd_mm.teachers.chance_check import BATCHES
from caught import warnings_of
from labelled_images import LabelledImages, random_images
from networks import classifier
from runners import quiet_runner

CLASSES, SIZE, TOLERANCE = 4, 12, 0.02
STUDENT = dict(mean=[78.0, 80.0, 82.0], std=[90.0, 96.0, 99.0])
# The second teacher expects other images, larger and in the other order of channels.
OTHER = dict(mean=[100.0, 110.0, 120.0], std=[50.0, 60.0, 70.0], to_rgb=True)
DEEP = classifier(14, CLASSES)
WIDE = classifier(
    num_classes=CLASSES,
    backbone=dict(type='CifarWideResNet', depth=10, widen_factor=1),
    data_preprocessor=OTHER,
)


@pytest.fixture(scope='module')
def networks(tmp_path_factory):
    """The teachers alone, and their checkpoints."""
    torch.manual_seed(0)
    found, paths = {}, {}
    for name, config in dict(deep=DEEP, wide=WIDE).items():
        network = MODELS.build(copy.deepcopy(config))
        network.init_weights()
        found[name] = network.eval()
        # Logits that differ from image to image.
        layer, inputs = network.head.fc, torch.randn(64, 3, SIZE, SIZE)
        with torch.no_grad():
            torch.nn.init.normal_(layer.weight)
            layer.weight *= 3 / (network(inputs, mode='tensor').std(0))[:, None]
            layer.bias -= network(inputs, mode='tensor').mean(0)
        paths[name] = str(tmp_path_factory.mktemp('teachers') / f'{name}.pth')
        save_checkpoint(dict(state_dict=network.state_dict()), paths[name])
    return found, paths


def logits_of(networks, inputs):
    """What the teachers say of images that are normalised for the student, and their mean."""
    mean, std, other_mean, other_std = (
        torch.tensor(values)[:, None, None]
        for values in (STUDENT['mean'], STUDENT['std'], OTHER['mean'], OTHER['std'])
    )
    pixels = F.interpolate(inputs * std + mean, (SIZE, SIZE), mode='bicubic', antialias=True)
    found = dict(
        deep=networks['deep'](inputs, mode='tensor'),
        wide=networks['wide']((pixels.flip(1) - other_mean) / other_std, mode='tensor'),
    )
    found[None] = (found['deep'] + found['wide']) / 2
    return found


def settings(paths, reads=(), **changes):
    """AMKD with a loss for each of ``reads``: the teacher that it reads, and the record."""
    recorders = {f'of_{teacher}': dict(type='Logits', teacher=teacher) for teacher, _ in reads}
    losses, mappings = {}, {}
    for teacher, index in reads:
        name = f'loss_{teacher}_{index}'
        losses[name] = dict(type='KLDivergence', tau=1)
        mappings[name] = dict(
            preds_S=dict(recorder='logits', from_student=True, record_idx=index),
            preds_T=dict(recorder=f'of_{teacher}', from_student=False, record_idx=index),
        )
    members = dict(deep=copy.deepcopy(DEEP), wide=copy.deepcopy(WIDE))
    config = dict(
        _scope_='mmrazor',
        type='AMKD',
        # What it says of an image does not depend on the others of the batch.
        architecture=classifier(8, CLASSES, norm='GN'),
        teacher=dict(type='TeacherEnsemble', members=members),
        teacher_ckpt=dict(paths),
        teacher_input_size=dict(wide=SIZE),
        data_preprocessor=dict(STUDENT),
        distiller=dict(
            type='ConfigurableDistiller',
            student_recorders=dict(logits=dict(type='Logits')),
            teacher_recorders=recorders,
            distill_losses=losses,
            loss_forward_mappings=mappings,
        ),
    )
    return {**config, **changes}


@OPTIM_WRAPPERS.register_module()
class Bfloat16OnCPU(OptimWrapper):
    """Mixed precision of the forward pass, which MMEngine's own wrapper has on GPUs alone."""

    @contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield


class Observer(Hook):
    """Keeps of each step the student before it, its samples and its losses."""

    priority = 'VERY_LOW'

    def __init__(self, architecture):
        self.architecture, self.steps = architecture, []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        inputs = runner.model.data_preprocessor(data_batch, True)['inputs']
        self.student = MODELS.build(copy.deepcopy(self.architecture))
        self.student.load_state_dict(runner.model.student.state_dict())
        self.inputs = inputs

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        (hook,) = (one for one in runner.hooks if hasattr(one, 'samples'))
        losses = {name: value.detach() for name, value in outputs.items()}
        self.steps.append((self.student, self.inputs, hook.samples, losses))


def train(tmp_path, networks, config, teacher=None, epochs=1, **options):
    """Train on images that carry the label which the asked teacher gives them."""
    images = random_images(16)
    mean, std = (torch.tensor(STUDENT[name])[:, None, None] for name in ('mean', 'std'))
    normalized = (images - mean) / std
    with torch.no_grad():
        labels = logits_of(networks, normalized)[teacher].argmax(1).tolist()
    assert len(set(labels)) > 1
    observer = Observer(copy.deepcopy(config['architecture']))
    runner = quiet_runner(
        tmp_path,
        model=config,
        train_dataloader=dict(
            dataset=LabelledImages(images, labels),
            batch_size=8,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        custom_hooks=[
            dict(
                type='mmrazor.BoundarySampleHook',
                attack=dict(type='BoundarySearch', tolerance=TOLERANCE, max_steps=30),
                num_samples=1.0,
                teacher=teacher,
            ),
            observer,
        ],
        **{'optim_wrapper': dict(optimizer=dict(type='SGD', lr=0.01)), **options},
    )
    runner.train()
    return runner, observer.steps


def gap(logits, samples):
    """Largest difference of a sample's target class and its best other one, in probability."""
    p = logits.softmax(1)
    target = p.gather(1, samples.targets[:, None])
    others = p.scatter(1, samples.targets[:, None], 0)
    return (target - others.amax(1, keepdim=True)).abs().max()


# What the losses read, and which teacher's boundary samples are. Where all that is read of samples
# is what their teacher says, no second pass tells it; otherwise one must.
@pytest.mark.parametrize('teacher', [None, 'deep', 'wide'])
@pytest.mark.parametrize(
    'reads',
    [
        [(None, 0), ('wide', 0), (None, 1)],
        [('deep', 0), ('deep', 1)],
        [(None, 0), (None, 1), ('deep', 1), ('wide', 1)],
    ],
)
def test_losses_and_samples_are_those_of_plain_passes(tmp_path, networks, reads, teacher):
    alone, paths = networks
    runner, steps = train(tmp_path, alone, settings(paths, reads), teacher)
    assert len(steps) == 2
    for student, inputs, samples, losses in steps:
        # It gives every image its label, and so each can be moved.
        assert samples.statistics['attacked'] == len(inputs) and len(samples.inputs) > 2
        passes = [inputs, samples.inputs]
        with torch.no_grad():
            ours = [student(images, mode='tensor') for images in passes]
            theirs = [logits_of(alone, images) for images in passes]
        for name, index in reads:
            q, p = ours[index].log_softmax(1), theirs[index][name].softmax(1)
            expected = (p * (p.log() - q)).sum(1).mean()
            found = losses[f'distill.loss_{name}_{index}']
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
        # They lie on the boundary of the asked teacher, and so not on that of another.
        gaps = {name: gap(found, samples) for name, found in theirs[1].items()}
        assert gaps.pop(teacher) < 1.1 * TOLERANCE and min(gaps.values()) > 5 * TOLERANCE, gaps
    for name, network in runner.model.teacher.members.items():
        assert not any(module.training for module in network.modules())
        weights, before = network.state_dict(), alone[name].state_dict()
        assert all(torch.equal(weights[key], value) for key, value in before.items())
        assert not any(p.requires_grad or p.grad is not None for p in network.parameters())


def test_mixed_precision_and_a_recorder_of_a_members_features(tmp_path, networks):
    """The search is exact; a recorder within a member keeps the teachers from being folded."""
    alone, paths = networks
    config = settings(paths, [('wide', 0), ('wide', 1)])
    assert MODELS.build(copy.deepcopy(config)).teacher_is_folded
    recorder = dict(type='ModuleOutputs', source='wide.backbone.layer3')
    config['distiller']['teacher_recorders']['map'] = recorder
    # Group norm of torch 1.13 takes no bfloat16 on a CPU.
    config['architecture'] = classifier(8, CLASSES)
    half = dict(type='Bfloat16OnCPU', optimizer=dict(type='SGD', lr=0.01))
    runner, steps = train(tmp_path, alone, config, 'wide', optim_wrapper=half)
    assert not runner.model.teacher_is_folded
    maps = runner.model.distiller.teacher_recorders.get_recorder('map').data_buffer
    assert maps[0].shape[-2:] == (SIZE // 4, SIZE // 4)
    for _, _, samples, _ in steps:
        with torch.no_grad():
            assert gap(logits_of(alone, samples.inputs)['wide'], samples) < 1.1 * TOLERANCE


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, networks):
    alone, paths = networks
    reads = [(None, 0), (None, 1)]
    saving = dict(
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1), logger=None, timer=None
        )
    )
    whole, _ = train(tmp_path / 'whole', alone, settings(paths, reads), epochs=2, **saving)
    checkpoint = str(tmp_path / 'whole/epoch_1.pth')
    # The checkpoint has the teachers: their files may be gone.
    config = settings(paths, reads, teacher_ckpt=None)
    saving.update(resume=True, load_from=checkpoint)
    resumed, steps = train(tmp_path / 'resumed', alone, config, epochs=2, **saving)
    assert len(steps) == 2
    found, expected = (one.model.state_dict() for one in (resumed, whole))
    assert found.keys() == expected.keys()
    # But for rounding, of folded copies that were made from other images.
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_each_teacher_that_guesses_is_told(networks):
    alone, paths = networks
    model = MODELS.build(settings(paths, [(None, 0)]))
    images = random_images(8).float() / 100
    with torch.no_grad():
        labels, others = (logits_of(alone, images)[name].argmax(1) for name in ('deep', 'wide'))
    rows = labels != others
    samples = LabelledImages(images[rows], labels[rows].tolist())
    assert rows.sum() > 0

    def steps():
        batch = [samples[index]['data_samples'] for index in range(len(samples))]
        for _ in range(BATCHES):
            model.loss(images[rows], batch)

    (text,) = warnings_of(steps, about='which is guessing')
    assert text.startswith("the teacher 'wide' classifies 0.0%")
    assert '`model.teacher_ckpt.wide`' in text


def test_where_a_config_has_the_teachers(networks):
    _, paths = networks
    config = settings(paths, [(None, 0)])
    assert dict(named_checkpoints(dict(model=config))) == {
        f'model.teacher_ckpt.{name}': path for name, path in paths.items()
    }
    found = teachers_of(MODELS.build(config))
    assert list(found) == ['model.teacher.members.deep', 'model.teacher.members.wide']


def test_files_that_are_gone(networks, tmp_path):
    """A tested checkpoint has their weights; those that are there say how images are normalised."""
    _, paths = networks
    gone = dict(paths, wide=str(tmp_path / 'gone.pth'))
    model = settings(gone, [(None, 0)])
    assert lacks_teacher_file(model) and not lacks_teacher_file(settings(paths))
    model['teacher_ckpt'] = existing_teacher_files(model)
    assert model['teacher_ckpt'] == dict(deep=paths['deep'], wide=None)
    # None is no mistake, other than silence.
    MODELS.build(model)


def test_the_head_of_a_log_has_each_teacher(networks):
    _, paths = networks
    config = settings(paths, [(None, 0)])
    runner = SimpleNamespace(model=MODELS.build(copy.deepcopy(config)), cfg=dict(model=config))
    rows = describe_networks(runner)
    assert list(rows) == ['student', 'teacher deep', 'teacher wide']
    assert rows['teacher deep'].startswith('CifarResNet 14, ')
    assert rows['teacher wide'].startswith('CifarWideResNet, ')
    assert rows['teacher wide'].endswith(f'from {paths["wide"]}')


def test_sizes_of_the_networks_of_a_benchmark(networks):
    """Several teachers have the parameters of all."""
    alone, paths = networks
    model = MODELS.build(settings(paths, [(None, 0)]))
    found = size_of(model.teacher, (3, 8, 8))
    both = sum(p.numel() for one in alone.values() for p in one.parameters())
    assert found['parameters'] == pytest.approx(both / 1e6)
    assert found['macs'] > size_of(alone['deep'], (3, 8, 8))['macs']


def with_recorder(**recorder):
    """Changes that add a recorder of the teacher."""
    config = settings({}, [(None, 0)])['distiller']
    config['teacher_recorders']['extra'] = recorder
    return dict(distiller=config)


def with_members(**members):
    return dict(teacher=dict(type='TeacherEnsemble', members=members))


NARROW = classifier(num_classes=3)


@pytest.mark.parametrize(
    'changes, error, message',
    [
        (
            dict(teacher_ckpt='teacher.pth'),
            TypeError,
            r"model.teacher_ckpt must be such as dict\(deep='work_dirs/deep.pth', ",
        ),
        (
            dict(teacher_ckpt=dict(deep='no.pth', wide='no.pth')),
            FileNotFoundError,
            r"model.teacher_ckpt.deep: 'no.pth' does not exist",
        ),
        (
            dict(teacher_ckpt=dict(wide=None)),
            ValueError,
            r"no checkpoint of the teacher 'deep'.* set `model.teacher_ckpt.deep=",
        ),
        (
            dict(teacher_ckpt=dict(deap=None)),
            KeyError,
            r"model.teacher_ckpt.deap: `model.teacher` has no member 'deap'.*\['deep'\]",
        ),
        (dict(teacher_input_size=dict(wyde=8)), KeyError, r'model.teacher_input_size.wyde'),
        (dict(teacher_input_size=dict(wide=0)), ValueError, r'`model.teacher_input_size.wide`'),
        (
            with_recorder(type='Logits', teacher='wyde'),
            KeyError,
            r"model.distiller.teacher_recorders.extra.teacher: 'wyde' is not in",
        ),
        (
            with_recorder(type='ModuleOutputs', source='wide.backbone.layer9'),
            KeyError,
            r'model.distiller.teacher_recorders.extra.source',
        ),
        (
            {**with_members(one=NARROW), 'teacher_ckpt': None, 'teacher_input_size': None},
            ValueError,
            "student has 4 classes and the teacher 'one' 3: .*"
            '`model.teacher.members.one.head.num_classes`',
        ),
        (
            dict(teacher=DEEP, teacher_ckpt=None),
            TypeError,
            'model.teacher_input_size must be such as',
        ),
        (
            {
                'teacher': DEEP,
                'teacher_ckpt': None,
                'teacher_input_size': None,
                **with_recorder(type='Embedding', teacher='deep'),
            },
            KeyError,
            'extra.teacher: it names one of several teachers',
        ),
    ],
)
def test_a_mistake_is_an_error_that_names_the_key(networks, changes, error, message):
    _, paths = networks
    with pytest.raises(error, match=message):
        MODELS.build(settings(paths, [(None, 0)], **copy.deepcopy(changes)))


def test_a_checkpoint_of_another_network_is_told_by_its_key(networks):
    _, paths = networks
    swapped = dict(deep=paths['wide'], wide=paths['deep'])
    with pytest.raises(ValueError, match=r'model.teacher_ckpt.deep: .* does not fit the teacher'):
        MODELS.build(settings(swapped, [(None, 0)]))


@pytest.mark.parametrize(
    'teacher, options',
    [('wyde', r"use one of \['deep', 'wide'\]"), ('deep', "it needs type='TeacherEnsemble'")],
)
def test_samples_of_an_unknown_teacher(networks, teacher, options):
    _, paths = networks
    changes = dict(teacher=DEEP, teacher_ckpt=None, teacher_input_size=None)
    changes = {} if teacher == 'wyde' else changes
    model = MODELS.build(settings(paths, [(None, 0), (None, 1)], **copy.deepcopy(changes)))
    hook = dict(type='mmrazor.BoundarySampleHook', attack=dict(type='BoundarySearch'))
    items = LabelledImages(random_images(4), [0, 1, 2, 3])
    with pytest.raises(ValueError, match=f"teacher='{teacher}' is not a member.*{options}"):
        try_step(model, [items[0], items[1]], [dict(hook, teacher=teacher)])
