"""BoundarySampleHook and AMKD in real Runners: which samples, when, and what stays as it was."""

import random
import warnings
from copy import deepcopy
from functools import lru_cache, partial
from numbers import Integral

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.model import BaseModule
from mmengine.optim import OptimWrapper
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from mmrazor.registry import MODELS as RAZOR_MODELS
from torch import nn

from amkd_mm.algorithms import AMKD
from amkd_mm.attacks import BoundarySearch
from amkd_mm.attacks.targets import TARGET_CHOOSERS
from amkd_mm.classifiers.modes import evaluation_mode
from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.hooks import BoundarySampleHook
from distillers import logit_distiller
from labelled_images import LabelledImages
from runners import quiet_runner

NUM_CLASSES = 4
COLOUR = dict(mean=[120.0, 130.0, 110.0], std=[60.0, 70.0, 80.0])
PREPROCESSORS = dict(
    rgb=COLOUR,
    bgr=dict(to_rgb=True, **COLOUR),
    padded=dict(to_rgb=True, pad_size_divisor=5, pad_value=0.5, **COLOUR),
    raw=dict(),
    raw_bgr=dict(to_rgb=True),
    gray=dict(mean=[120.0], std=[60.0], to_rgb=True),
    mmengine=dict(type='mmengine.ImgDataPreprocessor', bgr_to_rgb=True, **COLOUR),
)
SEARCH = dict(type='BoundarySearch')
# Quick, and ends where it started.
STAY = dict(type='BSSAttack', num_steps=1, step_size=1e-6)
HOOK = dict(type='mmrazor.BoundarySampleHook', num_samples=64)
pytestmark = pytest.mark.usefixtures('mmpretrain_scope')


class Backbone(BaseModule):
    """Convolution, batch norm, ReLU and dropout: what has a mode, and little else."""

    def __init__(self, channels, dropout):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Dropout(dropout),
        )

    def forward(self, inputs):
        return (self.layers(inputs).flatten(1),)


def classifier(kind='rgb', dropout=0.0, seed=0):
    """An untrained network for one kind of images, the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ImageClassifier(
            backbone=Backbone(1 if kind == 'gray' else 3, dropout),
            head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=128),
            data_preprocessor=MODELS.build({'type': 'ClsDataPreprocessor', **PREPROCESSORS[kind]}),
        )
    # Or the Runner would draw new weights.
    model._is_init = True
    return model


def images_and_labels(kind='rgb', count=16, seed=0):
    """Noisy patches, other in every colour, many of their pixels black or white."""
    channels = 1 if kind == 'gray' else 3
    shapes = torch.Generator().manual_seed(7)
    patterns = torch.rand(NUM_CLASSES, channels, 4, 4, generator=shapes)
    noise = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % NUM_CLASSES
    images = F.interpolate(patterns, scale_factor=2)[labels] * 400 - 70
    images = images + 90 * torch.randn(images.shape, generator=noise)
    return images.clamp(0, 255).to(torch.uint8), labels.tolist()


@lru_cache
def trained_weights(kind, steps, seed):
    """Weights after some steps on images that no test uses."""
    model = classifier(kind, seed=seed).train()
    images, labels = images_and_labels(kind, count=96, seed=100)
    inputs = model.data_preprocessor(dict(inputs=images), False)['inputs']
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs, mode='tensor'), torch.tensor(labels)).backward()
        optimizer.step()
    return model.state_dict()


def trained(kind='rgb', steps=40, seed=0, dropout=0.0):
    model = classifier(kind, dropout)
    model.load_state_dict(trained_weights(kind, steps, seed))
    return model


def distiller(recorder=None):
    """KD on clean rows, and on boundary rows."""
    recorder = recorder or dict(type='ModuleOutputs', source='head')
    config = logit_distiller(recorder, loss_kl=0, loss_boundary=1)
    config['distill_losses']['loss_kl']['tau'] = 3
    return config


def amkd(kind='rgb', teacher=None, student=None, **kwargs):
    model = AMKD(
        distiller=distiller(),
        teacher=teacher or trained(kind),
        architecture=student or trained(kind, steps=6, seed=1),
        **kwargs,
    )
    model.teacher._is_init = True
    return model


def kd(student=None, **kwargs):
    """The same without AMKD, on whatever rows there are."""
    config = distiller()
    for part in ('distill_losses', 'loss_forward_mappings'):
        del config[part]['loss_boundary']
    model = RAZOR_MODELS.build(
        dict(
            _scope_='mmrazor',
            type='SingleTeacherDistill',
            **kwargs,
            distiller=config,
            teacher=trained(dropout=0.5),
            architecture=student or classifier(seed=1),
        )
    )
    model.teacher._is_init = True
    return model


class Early(Hook):
    """Sees the batch before BoundarySampleHook does."""

    priority = 'VERY_HIGH'

    def __init__(self, prepare=None):
        self.prepare = prepare
        self.batches = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.prepare is not None:
            self.prepare(runner)
        self.batches.append(dict(data_batch))


class Step:
    """A step with its batch and its samples."""

    def __init__(self, runner, batch):
        self.iter = runner.iter
        self.batch = dict(batch)
        self.images = [image.detach().cpu().clone() for image in batch['inputs']]
        (hook,) = (hook for hook in runner.hooks if isinstance(hook, BoundarySampleHook))
        self.found = hook.samples
        self.rows, self.targets = [], []
        if self.found is not None:
            self.positions = self.found.rows.tolist()
            self.rows = [batch['data_samples'][row].sample_idx for row in self.positions]
            self.targets = self.found.targets.tolist()
            self.moved = Normalizer(runner.model.data_preprocessor).denormalize(self.found.inputs)

    def pixels(self):
        """Base images and boundary images, float (M, C, H, W) each."""
        return torch.stack([self.images[row].float() for row in self.positions]), self.moved


class Late(Hook):
    """Sees the batch and the samples after the step."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append(Step(runner, data_batch))


def state(model):
    """All that the hook must not change: modes, gradients, buffers, flags, random states."""
    networks = dict(teacher=model.teacher, student=model.student)
    found = dict()
    for name, network in networks.items():
        for key, module in network.named_modules():
            found[name, key, 'mode'] = module.training
        for key, parameter in network.named_parameters():
            gradient = parameter.grad
            found[name, key, 'grad'] = None if gradient is None else gradient.cpu().numpy().copy()
            found[name, key, 'requires_grad'] = parameter.requires_grad
        for key, value in network.state_dict().items():
            found[name, key, 'value'] = value.cpu().numpy().copy()
    found['torch'] = torch.get_rng_state().numpy()
    found['numpy'] = np.random.get_state()[1].copy()
    found['python'] = random.getstate()
    return found


def train(
    model,
    hook,
    tmp_path,
    dataset=None,
    batch_size=16,
    epochs=1,
    early=None,
    late=None,
    **kwargs,
):
    """Train in a Runner; returns it, the steps as they were trained on, and both spies."""
    early, late = early or Early(), late or Late()
    wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05))
    options = dict(
        model=model,
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            collate_fn=dict(type=kwargs.pop('collate', 'default_collate')),
            dataset=dataset or LabelledImages(*images_and_labels()),
            sampler=dict(type='DefaultSampler', shuffle=kwargs.pop('shuffle', False)),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=wrapper,
        custom_hooks=[early, {**HOOK, **hook}, late],
    )
    runner = quiet_runner(tmp_path, **{**options, **kwargs})
    runner.train()
    return runner, late.steps, early, late


def logged(runner, name):
    """Every value of one statistic."""
    scalars = runner.message_hub.log_scalars
    return list(scalars[f'train/boundary/{name}'].data[0]) if has_log(runner, name) else []


def has_log(runner, name):
    return f'train/boundary/{name}' in runner.message_hub.log_scalars


def logits_of(network, pixels, training=False):
    """What a network says of dataloader images, through the real preprocessor."""
    network = deepcopy(network).cpu().train(training)
    # As a list, which is the other way through the preprocessor than the hook's.
    inputs = network.data_preprocessor(dict(inputs=list(pixels)), False)['inputs']
    with torch.no_grad():
        return inputs, network(inputs, mode='tensor')


# --- What the samples are -------------------------------------------------------------------------


@pytest.mark.parametrize('collate', ['default_collate', 'pseudo_collate'])
@pytest.mark.parametrize('kind', PREPROCESSORS)
def test_samples_lie_on_the_boundary_of_the_teacher(kind, collate, tmp_path):
    images, labels = images_and_labels(kind)
    model = amkd(kind)
    teacher = deepcopy(model.teacher)
    assert logits_of(teacher, images)[1].argmax(1).tolist() == labels

    runner, (step,), _, _ = train(
        model,
        dict(attack=SEARCH, num_samples=12, student_correct=False, target='random'),
        tmp_path,
        LabelledImages(images, labels),
        collate=collate,
    )

    assert isinstance(step.batch['inputs'], torch.Tensor) == (collate == 'default_collate')
    assert len(step.rows) == len(set(step.rows)) >= 8
    assert logged(runner, 'samples') == [len(step.rows)]
    assert logged(runner, 'share') == [len(step.rows) / len(labels)]
    assert logged(runner, 'reached') == [pytest.approx(len(step.rows) / 12)]
    assert logged(runner, 'seconds')[0] > 0

    bases, moved = step.pixels()
    assert moved.dtype == torch.float32
    assert moved.min() >= 0 and moved.max() <= 255
    assert (moved == 0).any() and (moved == 255).any()

    starts, _ = logits_of(teacher, bases)
    ends, logits = logits_of(teacher, moved)
    assert logits.argmax(1).tolist() == step.targets
    probabilities = logits.softmax(1)
    gaps, lengths = [], []
    for i, (row, target) in enumerate(zip(step.rows, step.targets, strict=True)):
        assert step.found.labels[i] == labels[row]
        assert target != labels[row]
        gaps.append(abs(probabilities[i, labels[row]] - probabilities[i, target]).item())
        lengths.append((ends[i] - starts[i]).square().sum().sqrt().item())
    assert logged(runner, 'probability_gap') == [pytest.approx(np.mean(gaps), abs=1e-3)]
    assert logged(runner, 'l2') == [pytest.approx(np.mean(lengths), rel=1e-3)]
    # Near the boundary, and not where they started.
    assert np.mean(gaps) < 0.1 and min(lengths) > 0


@pytest.mark.parametrize('collate', ['default_collate', 'pseudo_collate'])
def test_the_batch_is_left_alone(collate, tmp_path):
    images, labels = images_and_labels()
    _, (step,), early, _ = train(
        amkd(), dict(attack=SEARCH), tmp_path, LabelledImages(images, labels), collate=collate
    )
    assert step.rows
    before, after = early.batches[0], step.batch
    # The very objects of the dataloader: a data set that keeps its batches collects no samples.
    assert after['inputs'] is before['inputs'] and after['data_samples'] is before['data_samples']
    assert len(after['inputs']) == len(after['data_samples']) == len(images)
    assert torch.equal(torch.stack(step.images), images)
    for sample, label in zip(after['data_samples'], labels, strict=True):
        assert sample.metainfo.keys() == {'sample_idx'} and sample.gt_label.tolist() == [label]


# --- Which are moved ------------------------------------------------------------------------------


def some_wrong(labels, rows):
    """Labels with those of some rows false, so that the teacher misclassifies them."""
    return [(label + 1) % NUM_CLASSES if i in rows else label for i, label in enumerate(labels)]


@pytest.mark.parametrize('student_correct', [True, False])
def test_discrepancy_takes_those_where_the_networks_differ_most(student_correct, tmp_path):
    images, labels = images_and_labels(count=32)
    labels = some_wrong(labels, rows=(0, 5, 9))
    # An untrained student is right about half of them.
    model = amkd(student=classifier(seed=2))
    p_t = logits_of(model.teacher, images)[1].softmax(1).tolist()
    # As in the training step itself.
    p_s = logits_of(model.student, images, training=True)[1].softmax(1).tolist()

    scores = dict()
    student_is_right = 0
    for i, label in enumerate(labels):
        student_is_right += max(p_s[i]) == p_s[i][label]
        if max(p_t[i]) != p_t[i][label]:
            continue
        if student_correct and max(p_s[i]) != p_s[i][label]:
            continue
        scores[i] = sum((p_t[i][k] - p_s[i][k]) ** 2 for k in range(NUM_CLASSES) if k != label)
    expected = sorted(scores, key=scores.get, reverse=True)[:8]
    # Otherwise the test could not tell the options apart.
    assert len(expected) == 8 < student_is_right < len(labels) - 8

    _, (step,), _, _ = train(
        model,
        dict(
            attack=STAY,
            num_samples=8,
            base='discrepancy',
            student_correct=student_correct,
            keep_unreached=True,
        ),
        tmp_path,
        LabelledImages(images, labels),
        batch_size=32,
    )
    assert step.rows == expected


@pytest.mark.parametrize('student_correct', [False, True])
@pytest.mark.parametrize('base', ['random', 'discrepancy'])
def test_networks_see_no_more_rows_than_needed(base, student_correct, tmp_path):
    model = amkd(student=trained(steps=40, seed=1))
    passes = dict(teacher=[], student=[])

    def count(name, module, args):
        passes[name].append(len(args[0]))

    for name in passes:
        getattr(model, name).backbone.register_forward_pre_hook(partial(count, name))
    # One step of the published attack: a look before it and a look after it.
    hook = dict(attack=STAY, num_samples=5, base=base, student_correct=student_correct)
    train(model, dict(keep_unreached=True, **hook), tmp_path)
    # Before its first pass a folded teacher compares itself with the teacher on two images. The
    # distiller records more than logits, so that the teacher sees the samples once more.
    assert passes == dict(teacher=[2, 2, 16, 5, 5, 5], student=[16, 5])


def test_the_teacher_does_not_see_samples_again_whose_logits_are_known(tmp_path):
    config = distiller()
    config['teacher_recorders'] = dict(logits=dict(type='Logits'))
    looks = []

    def losses(config):
        model = AMKD(distiller=config, teacher=trained(), architecture=trained(steps=6, seed=1))
        model.teacher._is_init = True
        looks.clear()
        model.teacher.backbone.register_forward_pre_hook(lambda _, args: looks.append(len(args[0])))
        runner, _, _, _ = train(model, dict(attack=STAY, keep_unreached=True), tmp_path, epochs=2)
        logged = runner.message_hub.log_scalars['train/distill.loss_boundary'].data[0].tolist()
        return logged, list(looks)

    known, seen_once = losses(config)
    seen, seen_again = losses(distiller())
    assert known == pytest.approx(seen, rel=1e-5)
    assert seen_again == [2, 2, *[16, 16, 16, 16] * 2] and seen_once == [2, 2, *[16, 16, 16] * 2]


def test_unreached_are_samples_on_request(tmp_path):
    images, labels = images_and_labels()
    wrong = (1, 2)
    dataset = LabelledImages(images, some_wrong(labels, wrong))
    options = dict(attack=STAY, student_correct=False)

    runner, (step,), _, _ = train(amkd(), options, tmp_path, dataset)
    assert step.rows == []
    assert logged(runner, 'samples') == logged(runner, 'reached') == [0]
    assert not has_log(runner, 'probability_gap') and not has_log(runner, 'l2')

    options.update(keep_unreached=True)
    runner, (step,), _, _ = train(amkd(), options, tmp_path, dataset)
    # Not even now those that the teacher misclassifies.
    assert set(step.rows) == set(range(16)) - set(wrong)
    assert logged(runner, 'samples') == [14] and logged(runner, 'reached') == [0]
    bases, moved = step.pixels()
    assert torch.allclose(bases, moved, atol=0.01)
    assert all(
        target != dataset.labels[row] for row, target in zip(step.rows, step.targets, strict=True)
    )


def test_batch_norm_that_trains_is_not_copied(tmp_path):
    """Its statistics change with every step."""
    for norm_eval in (True, False):
        model = amkd(teacher_eval=False, teacher_norm_eval=norm_eval)
        asked = []
        model.teacher.register_forward_pre_hook(lambda *_, asked=asked: asked.append(1))
        with model._ready_teacher() as ask:
            assert (ask is model.folded_teacher) == norm_eval
        _, (step,), _, _ = train(model, dict(attack=SEARCH), tmp_path)
        assert step.rows


@pytest.mark.parametrize('case', ['teacher_wrong', 'student_wrong'])
@pytest.mark.parametrize('collate', ['default_collate', 'pseudo_collate'])
def test_training_goes_on_without_suitable_samples(case, collate, tmp_path):
    images, labels = images_and_labels()
    if case == 'teacher_wrong':
        labels = some_wrong(labels, rows=range(16))
        model, base = amkd(), 'random'
    else:
        # A student that always says 0, and images of the other classes.
        keep = [i for i, label in enumerate(labels) if label]
        images, labels = images[keep], [labels[i] for i in keep]
        student = classifier(seed=1)
        nn.init.zeros_(student.head.fc.weight)
        student.head.fc.bias.data.copy_(torch.eye(NUM_CLASSES)[0])
        model, base = amkd(student=student), 'discrepancy'
    before = deepcopy(model.student.state_dict())
    runner, (step,), _, _ = train(
        model,
        dict(attack=SEARCH, base=base, student_correct=case == 'student_wrong'),
        tmp_path,
        LabelledImages(images, labels),
        collate=collate,
    )
    assert step.rows == [] and len(step.images) == len(images)
    assert logged(runner, 'samples') == [0] and not has_log(runner, 'probability_gap')
    assert has_log(runner, 'reached') is False
    after = model.student.state_dict()
    assert any(not torch.equal(before[key].cpu(), after[key].cpu()) for key in before)


def test_the_sampler_is_what_the_arguments_say():
    attack = dict(type='BoundarySearch', max_steps=3)
    given = dict(num_samples=3, base='discrepancy', student_correct=True, keep_unreached=True)
    for target, chooser in TARGET_CHOOSERS.items():
        sampler = BoundarySampleHook(attack, target=target, **given).sampler
        assert isinstance(sampler.attack, BoundarySearch) and sampler.attack.max_steps == 3
        assert sampler.choose_targets is chooser
        assert {name: getattr(sampler, name) for name in given} == given
    # As in BSS: 64 of 256.
    assert BoundarySampleHook(attack).sampler.num_samples == 0.25


# --- When -----------------------------------------------------------------------------------------


# Twelve iterations: four epochs of three.
@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(), range(12)),
        (dict(begin=1), range(3, 12)),
        (dict(end=2), range(6)),
        (dict(begin=1, end=3), range(3, 9)),
        (dict(begin=0.25, end=0.75), range(3, 9)),
        # 1.2 epochs: the first epoch that begins no earlier.
        (dict(begin=0.3), range(6, 12)),
        (dict(end=0.3), range(6)),
        (dict(begin=2, end=2), ()),
        (dict(end=0), ()),
        (dict(end=0.0), ()),
        (dict(begin=7), ()),
        (dict(interval=2), range(0, 12, 2)),
        (dict(interval=5, begin=1), (5, 10)),
        (dict(by_epoch=False, begin=2, end=7), range(2, 7)),
        (dict(by_epoch=False, begin=0.5), range(6, 12)),
        (dict(by_epoch=False, begin=1, end=0.75, interval=3), (3, 6)),
    ],
)
def test_begin_end_and_interval(options, expected, tmp_path):
    with warnings.catch_warnings():
        # AMKD must know that boundary samples will come, or have gone.
        warnings.filterwarnings('error', message='.*nothing makes any')
        runner, steps, _, _ = train(
            amkd(),
            dict(attack=STAY, student_correct=False, keep_unreached=True, **options),
            tmp_path,
            LabelledImages(*images_and_labels(count=12)),
            batch_size=4,
            epochs=4,
        )
    assert [step.iter for step in steps] == list(range(12))
    assert [step.iter for step in steps if step.rows] == list(expected)


def test_the_log_forgets_what_is_over(tmp_path):
    """A log repeats the last value: of a loss that has ended, it would be wrong for ever."""
    options = dict(attack=STAY, student_correct=False, keep_unreached=True, end=1)
    runner, _, _, _ = train(amkd(), options, tmp_path, epochs=2)
    scalars = runner.message_hub.log_scalars
    assert logged(runner, 'samples')[-1] == 0
    names = 'reached', 'probability_gap', 'l2', 'seconds'
    assert not any(has_log(runner, name) for name in names)
    assert 'train/distill.loss_boundary' not in scalars
    assert 'train/distill.loss_kl' in scalars


def test_a_stopped_distillation_needs_no_boundary_samples(tmp_path):
    """MMRazor's StopDistillHook stops the distiller; the attack would be for nothing."""
    model = amkd()
    model.distillation_stopped = True
    _, steps, _, _ = train(
        model, dict(attack=STAY, student_correct=False, keep_unreached=True), tmp_path
    )
    assert steps
    assert not any(step.rows for step in steps)


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(), range(8)),
        # A share needs no unit.
        (dict(end=0.75), range(6)),
        (dict(begin=0.25, end=0.5), range(2, 4)),
        (dict(by_epoch=False, begin=0.5), range(4, 8)),
        (dict(by_epoch=False, end=3), range(3)),
    ],
)
def test_training_by_iterations(options, expected, tmp_path):
    _, steps, _, _ = train(
        amkd(),
        dict(attack=STAY, student_correct=False, keep_unreached=True, **options),
        tmp_path,
        batch_size=2,
        train_cfg=dict(by_epoch=False, max_iters=8),
    )
    assert [step.iter for step in steps if step.rows] == list(expected)


@pytest.mark.parametrize('options', [dict(end=3), dict(begin=1)])
def test_epochs_need_a_training_by_epochs(options, tmp_path):
    with pytest.raises(ValueError, match='by_epoch'):
        train(
            amkd(),
            dict(attack=STAY, **options),
            tmp_path,
            train_cfg=dict(by_epoch=False, max_iters=8),
        )


def test_the_log_says_when_there_are_no_more(tmp_path):
    runner, steps, _, _ = train(
        amkd(),
        dict(attack=STAY, student_correct=False, keep_unreached=True, begin=1, end=2),
        tmp_path,
        epochs=3,
    )
    # The log of a Runner shows the last value.
    assert logged(runner, 'samples') == [0, 16, 0]
    assert logged(runner, 'share') == [0, 1, 0]


def test_a_step_without_samples_does_not_log_those_of_the_step_before(tmp_path):
    """The curves of gap and boundary loss would show values of samples that are not there."""
    seen = []

    class Watch(Late):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            scalars = runner.message_hub.log_scalars
            seen.append({name: scalars[name].current() for name in scalars})

    # Of the second batch all labels are wrong, so that nothing is attacked.
    images, labels = images_and_labels(count=32)
    labels[16:] = [(label + 1) % NUM_CLASSES for label in labels[16:]]
    options = dict(attack=SEARCH, student_correct=False)
    train(amkd(), options, tmp_path, LabelledImages(images, labels), late=Watch())
    first, second = seen
    assert first['train/boundary/samples'] > 0 and first['train/boundary/share'] > 0
    # The log shows a number of images without decimals.
    assert isinstance(first['train/boundary/attacked'], Integral)
    of_samples = {'train/boundary/reached', 'train/boundary/probability_gap', 'train/boundary/l2'}
    of_samples.add('train/distill.loss_boundary')
    assert of_samples <= set(first)
    assert second['train/boundary/samples'] == second['train/boundary/attacked'] == 0
    assert second['train/boundary/share'] == 0
    assert not of_samples & set(second)
    assert 'train/distill.loss_kl' in second


# --- Resuming -------------------------------------------------------------------------------------


class Noise(Hook):
    """Other code that draws random numbers, as data augmentation does."""

    priority = 'VERY_HIGH'

    def __init__(self, amount):
        self.amount = amount

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        torch.rand(self.amount), np.random.rand(self.amount)
        for _ in range(self.amount):
            random.random()


@pytest.mark.parametrize('target', ['sample', 'random'])
def test_a_resumed_run_draws_what_an_uninterrupted_one_draws(target, tmp_path):
    def run(noise, **kwargs):
        runner, steps, _, _ = train(
            amkd(),
            dict(attack=STAY, num_samples=4, target=target, keep_unreached=True),
            tmp_path,
            LabelledImages(*images_and_labels(count=24)),
            early=Noise(noise),
            batch_size=8,
            epochs=3,
            shuffle=True,
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1), logger=None),
            **kwargs,
        )
        return {step.iter: list(zip(step.rows, step.targets, strict=True)) for step in steps}

    whole = run(noise=1)
    resumed = run(noise=5, load_from=str(tmp_path / 'epoch_1.pth'), resume=True)
    assert list(whole) == list(range(9)) and list(resumed) == list(range(3, 9))
    assert all(whole.values())
    assert resumed == {i: whole[i] for i in resumed}
    # Not the same draws at every iteration.
    assert len({tuple(pairs) for pairs in whole.values()}) == 9


def test_another_seed_draws_something_else(tmp_path):
    def run(seed):
        _, steps, _, _ = train(
            amkd(),
            dict(attack=STAY, num_samples=8, target='random', keep_unreached=True),
            tmp_path,
            randomness=dict(seed=seed),
        )
        return steps[0].rows, steps[0].targets

    assert run(0) == run(0) != run(1)


# --- What must stay as it was ---------------------------------------------------------------------


def assert_same(before, after):
    assert before.keys() == after.keys()
    for key, value in before.items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, after[key]), key
        else:
            assert value == after[key], key


def test_a_trained_teacher_with_activation_checkpointing(tmp_path):
    """Its checkpointing does not give input gradients, and is as before afterwards."""
    backbone = dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4, with_cp=True)
    teacher = ImageClassifier(
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=32),
        data_preprocessor=MODELS.build({'type': 'ClsDataPreprocessor', **PREPROCESSORS['rgb']}),
    )
    images, _ = images_and_labels()
    labels = logits_of(teacher, images)[1].argmax(1).tolist()
    runner, (step,), _, _ = train(
        amkd(teacher=teacher, teacher_trainable=True),
        dict(attack=SEARCH, target='runner_up', keep_unreached=True),
        tmp_path,
        LabelledImages(images, labels),
    )
    assert len(step.rows) == 16
    assert teacher.backbone.layer2[0].with_cp


@pytest.mark.parametrize('base', ['random', 'discrepancy'])
@pytest.mark.parametrize('algorithm', ['amkd', 'teacher_in_training', 'trained_teacher'])
def test_networks_are_left_as_they_were(algorithm, base, tmp_path):
    student = trained(steps=6, seed=1, dropout=0.5)
    teacher = trained(dropout=0.5)
    if algorithm == 'amkd':
        model = amkd(teacher=teacher, student=student)
    elif algorithm == 'teacher_in_training':
        model = amkd(teacher=teacher, student=student, teacher_eval=False)
    else:
        model = amkd(teacher=teacher, student=student, teacher_trainable=True)
    # A part of the student that its user froze, and a part that stays in training on its own.
    student.head.fc.weight.requires_grad_(False)

    def freeze(runner):
        student.backbone.layers[1].eval()

    states = []
    make_samples = model._make_samples

    def spied(*args):
        states.append(state(model))
        make_samples(*args)
        states.append(state(model))

    model._make_samples = spied
    runner, steps, _, _ = train(
        model,
        dict(attack=SEARCH, base=base),
        tmp_path,
        early=Early(freeze),
        batch_size=8,
        epochs=2,
        # Between two iterations there are gradients.
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01), accumulative_counts=2),
    )
    assert len(steps) == 4 and any(step.rows for step in steps)
    assert len(states) == 8
    for before, after in zip(states[::2], states[1::2], strict=True):
        assert_same(before, after)

    first, second = states[0], states[2]
    assert first['student', 'backbone.layers.4', 'mode']
    assert not first['student', 'backbone.layers.1', 'mode']
    assert first['teacher', 'backbone.layers.4', 'mode'] == (algorithm != 'amkd')
    assert np.abs(second['student', 'head.fc.bias', 'grad']).sum() > 0
    has_gradient = second['teacher', 'head.fc.bias', 'grad'] is not None
    assert has_gradient == (algorithm == 'trained_teacher')


def test_modes_come_back_after_an_error():
    model = classifier(dropout=0.5).train()
    model.backbone.layers[1].eval()
    before = {name: module.training for name, module in model.named_modules()}
    with pytest.raises(KeyError), evaluation_mode(model):
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert {name: module.training for name, module in model.named_modules()} == before


def test_the_teacher_is_attacked_without_dropout(tmp_path):
    """MMRazor leaves a teacher's dropout alive; the boundary is that without it."""
    images, labels = images_and_labels()
    teacher = trained(dropout=0.5)
    _, (step,), _, _ = train(
        amkd(teacher=teacher, teacher_eval=False),
        dict(attack=SEARCH, student_correct=False, target='runner_up'),
        tmp_path,
    )
    assert len(step.rows) == 16
    _, logits = logits_of(teacher, step.pixels()[1])
    assert logits.argmax(1).tolist() == step.targets


def test_accumulated_gradients_are_those_without_the_hook(tmp_path):
    """The search's own gradients do not leak into the step."""

    def run(**hook):
        model = amkd()
        # What reads the samples has no weight.
        model.distiller.distill_losses['loss_boundary'].loss_weight = 0
        model.boundary_norm = 'running'
        train(
            model,
            dict(attack=SEARCH, **hook),
            tmp_path,
            batch_size=8,
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=2),
        )
        return model.student.state_dict()

    with_hook, without = run(), run(end=0)
    for key, value in without.items():
        assert torch.equal(value, with_hook[key]), key


def test_samples_that_no_loss_reads_are_not_made(tmp_path):
    config = distiller()
    for part in ('distill_losses', 'loss_forward_mappings'):
        del config[part]['loss_boundary']
    model = AMKD(distiller=config, teacher=trained(), architecture=trained(steps=6, seed=1))
    model.teacher._is_init = True
    with pytest.warns(UserWarning, match='no loss reads the samples of hook'):
        runner, (step,), _, _ = train(model, dict(attack=SEARCH), tmp_path)
    assert step.found is None and logged(runner, 'samples') == [0]


class CpuAmp(OptimWrapper):
    """What AmpOptimWrapper does, which MMEngine refuses without a GPU."""

    def optim_context(self, model):
        return torch.autocast('cpu', dtype=torch.bfloat16)


@pytest.mark.parametrize('amp', [False, True])
def test_mixed_precision(amp, tmp_path):
    images, labels = images_and_labels()
    model = amkd()
    teacher = deepcopy(model.teacher)
    dtypes = []
    model.teacher.head.register_forward_hook(lambda *args: dtypes.append(args[2].dtype))
    if torch.cuda.is_available():
        wrapper = dict(type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=0.05))
    else:
        wrapper = CpuAmp(torch.optim.SGD(model.student.parameters(), lr=0.05))
    runner, steps, _, _ = train(
        model,
        dict(attack=SEARCH, student_correct=False, amp=amp),
        tmp_path,
        epochs=3,
        optim_wrapper=wrapper,
    )
    # The first calls are those of the copy's comparison with the teacher, in full precision.
    half = torch.float16 if torch.cuda.is_available() else torch.bfloat16
    # The next is the step's own pass, and what follows the search's first.
    assert dtypes[:3] == [torch.float32, torch.float32, half]
    assert dtypes[3] == (half if amp else torch.float32)
    for step in steps:
        assert len(step.rows) == 16
        if amp:
            continue
        # Found in full precision, although the step is not.
        _, logits = logits_of(teacher, step.pixels()[1])
        assert logits.argmax(1).tolist() == step.targets
    losses = runner.message_hub.log_scalars['train/distill.loss_boundary'].data[0]
    assert len(losses) == 3 and np.isfinite(losses).all() and losses.min() > 0


# --- How much they count --------------------------------------------------------------------------


@pytest.mark.parametrize('num_samples', [3, 16])
def test_boundary_reduction(num_samples, tmp_path):
    """Over the batch instead of over the samples: the mean times their share of the batch."""

    def losses(**options):
        hook = dict(attack=STAY, num_samples=num_samples, keep_unreached=True)
        runner, _, _, _ = train(amkd(**options), hook, tmp_path)
        scalars = runner.message_hub.log_scalars
        return {
            name: scalars[f'train/distill.loss_{name}'].current() for name in ('kl', 'boundary')
        }

    means, sums = losses(), losses(boundary_reduction='batch')
    assert losses(boundary_reduction='samples') == means
    assert sums['kl'] == means['kl']
    assert sums['boundary'] == pytest.approx(means['boundary'] * num_samples / 16)


# --- Mistakes -------------------------------------------------------------------------------------


MIXUP = dict(augments=dict(type='Mixup', alpha=0.8))
CUTMIX = dict(augments=[dict(type='CutMix', alpha=1.0)], probs=[0.5])


@pytest.mark.parametrize('augments', [MIXUP, CUTMIX])
@pytest.mark.parametrize('place', ['data_preprocessor', 'train_cfg'])
def test_mixed_images_are_refused(place, augments, tmp_path):
    settings = dict(num_classes=NUM_CLASSES, to_onehot=True, **COLOUR)
    # MMPretrain changes the lists.
    augments = deepcopy(augments)
    network = dict(
        backbone=Backbone(3, 0.0),
        head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=128),
    )
    if place == 'train_cfg':
        network.update(train_cfg=augments, data_preprocessor=settings)
        model = amkd(student=ImageClassifier(**network))
    else:
        model = amkd(data_preprocessor=dict(batch_augments=augments, **settings))
    with pytest.raises(ValueError, match='`data_preprocessor.batch_augments=None`') as error:
        train(model, dict(attack=SEARCH), tmp_path)
    assert 'Mixup' in str(error.value) and 'CutMix' in str(error.value)


def test_onehot_labels_are_no_mixing(tmp_path):
    student = trained(steps=6, seed=1)
    student.head.loss_module = MODELS.build(dict(type='CrossEntropyLoss', use_soft=True))
    settings = dict(num_classes=NUM_CLASSES, to_onehot=True, **COLOUR)
    model = amkd(student=student, data_preprocessor=settings)
    _, (step,), _, _ = train(model, dict(attack=SEARCH), tmp_path)
    assert step.rows


@pytest.mark.parametrize('build', [classifier, kd])
def test_other_algorithms_are_refused(build, tmp_path):
    kind = 'ImageClassifier' if build is classifier else 'SingleTeacherDistill'
    with pytest.raises(TypeError, match=rf"type='AMKD'.*got {kind}\b"):
        train(build(), dict(attack=SEARCH), tmp_path)


def test_labels_without_a_class_are_refused(tmp_path):
    images, labels = images_and_labels()
    labels[3] = NUM_CLASSES
    with pytest.raises(ValueError, match=r'label 4, but the models have 4 classes.*num_classes'):
        train(amkd(), dict(attack=SEARCH), tmp_path, LabelledImages(images, labels))


def test_images_of_unequal_size_are_refused(tmp_path):
    images, labels = images_and_labels()
    images = [image[:, : 8 - i % 2] for i, image in enumerate(images)]
    with pytest.raises(TypeError, match=r'one size.*\(3, 7, 8\), \(3, 8, 8\)'):
        train(
            amkd(),
            dict(attack=SEARCH),
            tmp_path,
            LabelledImages(images, labels),
            collate='pseudo_collate',
        )


@pytest.mark.parametrize('label', [[1, 2], None])
def test_labels_other_than_one_class_are_refused(label, tmp_path):
    images, labels = images_and_labels()
    labels[3] = label
    with pytest.raises(TypeError, match='single-label'):
        train(amkd(), dict(attack=SEARCH), tmp_path, LabelledImages(images, labels))


def test_batches_of_another_kind_are_refused(tmp_path):
    class Pairs(LabelledImages):
        def __getitem__(self, index):
            return tuple(super().__getitem__(index).values())

    with pytest.raises(TypeError, match='PackInputs'):
        train(amkd(), dict(attack=SEARCH), tmp_path, Pairs(*images_and_labels()), early=Hook())


def test_normalised_images_are_refused(tmp_path):
    """Their pixel range is not [0, 255]: clamping to that would destroy them."""
    images, labels = images_and_labels()
    images = (images.float() - 128) / 64
    with pytest.raises(TypeError, match=r'\[0, 255\]'):
        train(amkd('raw'), dict(attack=SEARCH), tmp_path, LabelledImages(images, labels))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_samples=0), 'num_samples.*not 0$'),
        (dict(num_samples=0.0), 'num_samples.*not 0.0$'),
        (dict(num_samples=1.5), 'num_samples.*not 1.5$'),
        (dict(interval=0), 'interval.*not 0'),
        (dict(base='hardest'), "base.*random.*discrepancy.*'hardest'"),
        (dict(target='nearest'), "target.*sample.*runner_up.*random.*'nearest'"),
        (dict(begin=-1), 'begin'),
        (dict(end=1.5), 'end'),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        BoundarySampleHook(attack=SEARCH, **options)


def test_an_unknown_attack_is_refused():
    with pytest.raises(KeyError, match='attack.type: .*FGSM.*BoundarySearch.*BSSAttack'):
        BoundarySampleHook(attack=dict(type='FGSM'))
