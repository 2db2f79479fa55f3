"""The other producers of samples in real Runners: particles, augmented copies, and two at once."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmpretrain.structures import DataSample
from mmrazor.registry import HOOKS, MODELS

from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.diagnostics.trial_step import try_step
from amkd_mm.hooks.sample_hook import SampleHook

K = 4
STD = [50.0, 60.0, 70.0]
MEAN = [120.0, 110.0, 100.0]
FLIP = dict(type='RandomFlip', prob=0.5)


def classifier():
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='CifarResNet', depth=8, norm_cfg=dict(type='GN', num_groups=4)),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=K, in_channels=64),
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    np.random.seed(0)  # MMEngine draws the seed of a run from it.
    logits = dict(logits=dict(type='Logits'))

    def kl(index):
        return dict(
            preds_S=dict(recorder='logits', from_student=True, record_idx=index),
            preds_T=dict(recorder='logits', from_student=False, record_idx=index),
        )

    config = dict(
        type='AMKD',
        _scope_='mmrazor',
        architecture=classifier(),
        teacher=classifier(),
        distiller=dict(
            type='ConfigurableDistiller',
            student_recorders=logits,
            teacher_recorders=logits,
            distill_losses=dict(
                loss_first=dict(type='KLDivergence'), loss_second=dict(type='KLDivergence')
            ),
            loss_forward_mappings=dict(loss_first=kl(1), loss_second=kl(2)),
        ),
        data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=True),
    )
    model = MODELS.build(config)
    model.init_weights()
    torch.nn.init.normal_(model.teacher.head.fc.weight)
    model._is_init = True
    return model


@pytest.fixture
def items(model):
    generator = torch.Generator().manual_seed(0)
    # Whole, or the rounding of augmented copies would matter, and black and white among them.
    images = torch.randint(-60, 316, (6, 3, 8, 8), generator=generator).clamp(0, 255)
    inputs = model.data_preprocessor(dict(inputs=images))['inputs']
    labels = model.eval().teacher(inputs, mode='tensor').argmax(1).tolist()
    return [
        dict(inputs=image.to(torch.uint8), data_samples=DataSample().set_gt_label(label))
        for image, label in zip(images, labels, strict=True)
    ]


class Spy(Hook):
    """All images of a step as pixels, the clean ones first, and their labels."""

    priority = 'VERY_LOW'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.left = len(data_batch['inputs']), len(data_batch['data_samples'])
        self.scalars = dict(runner.message_hub.log_scalars)
        normalizer = Normalizer(runner.model.data_preprocessor)
        hooks = [hook for hook in runner.hooks if isinstance(hook, SampleHook)]
        self.found = [hook.samples for hook in hooks if hook.samples is not None]
        clean = torch.stack([image.float() for image in data_batch['inputs']])
        self.pixels = torch.cat(
            [clean, *(normalizer.denormalize(found.inputs) for found in self.found)]
        )
        self.labels = [sample.gt_label.item() for sample in data_batch['data_samples']]
        for found in self.found:
            assert found.labels.tolist() == [self.labels[row] for row in found.rows]
            self.labels = [*self.labels, *found.labels.tolist()]


def particles(**options):
    return dict(type='LocalDistributionHook', **options)


def step(model, items, *hooks):
    if sum(isinstance(hook, (dict, SampleHook)) for hook in hooks) < 2:
        # Nothing makes the rows that it reads, which is an error.
        model.distiller.loss_forward_mappings.pop('loss_second', None)
    spy = Spy()
    found = try_step(model, items, [*hooks, spy])
    assert spy.left == (6, 6)
    return found, spy


def teacher_loss(model, pixels, labels):
    inputs = model.data_preprocessor(dict(inputs=pixels))['inputs']
    with torch.no_grad():
        logits = model.eval().teacher(inputs, mode='tensor')
    return F.cross_entropy(logits, torch.tensor(labels), reduction='none')


def test_particles_are_in_the_ball_apart_and_adversarial(model, items):
    radius = 0.02
    _, spy = step(model, items, particles(radius=radius, num_steps=8))
    images = torch.stack([item['inputs'] for item in items]).float()
    labels = spy.labels
    assert len(labels) == 6 + 6 * 4 and (spy.pixels[:6] == images).all()
    assert spy.pixels.min() >= 0 and spy.pixels.max() <= 255
    base_of = []
    for pixels, label in zip(spy.pixels[6:], labels[6:], strict=True):
        distances = (pixels - images).flatten(1).abs().amax(1)
        base_of.append(distances.argmin().item())
        assert 0 < distances.min() <= radius * 255 * 1.001
        assert label == labels[base_of[-1]]
    assert sorted(base_of) == sorted(list(range(6)) * 4)
    for base in range(6):
        (rows,) = np.where(np.array(base_of) == base)
        assert torch.pdist(spy.pixels[6:][rows].flatten(1)).min() > 0.1
    clean = teacher_loss(model, images, labels[:6])
    moved = teacher_loss(model, spy.pixels[6:], labels[6:])
    # Particles repel each other, so that not each of them climbs.
    assert (moved > clean[base_of]).float().mean() > 0.7
    draws = torch.rand(spy.pixels[6:].shape, generator=torch.Generator().manual_seed(0))
    noise = images[base_of] + (draws * 2 - 1) * radius * 255
    assert moved.log().mean() > teacher_loss(model, noise, labels[6:]).log().mean() + 0.1
    assert {'train/particles/loss', 'train/particles/samples'} <= set(spy.scalars)


def test_radius_is_in_units_of_the_pixel_range(model, items):
    _, spy = step(model, items, particles())
    images = torch.stack([item['inputs'] for item in items]).float()
    distances = torch.cdist(spy.pixels[6:].flatten(1), images.flatten(1), p=float('inf')).amin(1)
    torch.testing.assert_close(distances.max().item(), 5e-4 * 255, rtol=0.02, atol=0)


def test_some_images_only(model, items):
    _, spy = step(model, items, particles(num_samples=2, num_particles=3))
    first = spy.labels[6:]
    assert len(first) == 2 * 3
    assert first[:3] == [first[0]] * 3 and first[3:] == [first[3]] * 3


def test_augmented_copies_are_in_the_order_of_the_images(model, items):
    _, spy = step(model, items, dict(type='AugmentedSampleHook', transforms=[FLIP]))
    assert len(spy.labels) == 12
    flipped = 0
    for image, copy in zip(spy.pixels[:6], spy.pixels[6:], strict=True):
        is_flipped = torch.allclose(copy, image.flip(2), atol=1e-3)
        assert is_flipped or torch.allclose(copy, image, atol=1e-3)
        flipped += is_flipped
    assert 0 < flipped < 6
    assert spy.labels[6:] == spy.labels[:6]


def test_augmentation_does_not_disturb_other_random_numbers(model, items):
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.rand()

    class Draw(Hook):
        priority = 'VERY_HIGH'

        def before_train_iter(self, runner, *_, **__):
            random.seed(1)
            np.random.seed(1)

        def after_train_iter(self, *_, **__):
            self.drawn = random.random(), np.random.rand()

    draw = Draw()
    step(model, items, draw, dict(type='AugmentedSampleHook', transforms=[FLIP]))
    assert draw.drawn == expected


def test_transforms_that_change_the_size(model, items):
    crop = dict(type='AugmentedSampleHook', transforms=[dict(type='CenterCrop', crop_size=4)])
    with pytest.raises(ValueError, match=r'\(8, 8, 3\) became \(4, 4, 3\).*`transforms`'):
        step(model, items, crop)


def test_two_hooks_at_once(model, items):
    """Each makes its samples from the clean images, and has a record of its own."""
    augmented = dict(type='AugmentedSampleHook', transforms=[FLIP])
    found, spy = step(model, items, augmented, particles(num_particles=1))
    assert [len(found.rows) for found in spy.found] == [6, 6]
    for name in ('student', 'teacher'):
        recorder = getattr(model.distiller, f'{name}_recorders').get_recorder('logits')
        assert [len(record) for record in recorder.data_buffer] == [6, 6, 6]
    assert {'distill.loss_first', 'distill.loss_second'} <= set(found.losses)


@pytest.mark.parametrize('kind', ['AugmentedSampleHook', 'LocalDistributionHook'])
def test_two_hooks_of_a_kind_make_different_samples(kind, model, items):
    hook = dict(type=kind)
    if kind == 'AugmentedSampleHook':
        hook['transforms'] = [FLIP]
    _, spy = step(model, items, hook, hook)
    first, second = spy.pixels[6:].chunk(2)
    assert not torch.equal(first, second)


def test_the_log_of_a_hook_goes_on_when_another_ends(model, items):
    """Of a hook that is over, only the losses that read its samples are taken out."""
    augmented = dict(type='AugmentedSampleHook', transforms=[FLIP])
    found, _ = step(model, items, augmented, particles(num_particles=1, end=0))
    assert 'distill.loss_first' in found.losses

    class Clear(Hook):
        def after_train_iter(self, runner, *_, **__):
            self.hooks = [hook for hook in runner.hooks if isinstance(hook, SampleHook)]
            self.hooks[1].request = None
            self.hooks[1].log(runner, 6, {'distill.loss_first': 1.0})
            self.scalars = set(runner.message_hub.log_scalars)

    clear = Clear()
    step(model, items, augmented, particles(num_particles=1), clear)
    assert 'train/distill.loss_first' in clear.scalars
    assert 'train/distill.loss_second' not in clear.scalars


def test_augmentation_follows_from_the_seed_whatever_draws_it(model, items):
    """Also torchvision's transforms, which draw from torch."""
    names = ('NumpyToPIL', 'torchvision/RandomHorizontalFlip', 'PILToNumpy')
    hook = dict(type='AugmentedSampleHook', transforms=[dict(type=name) for name in names])
    found = []
    for seed in (1, 2):

        class Draw(Hook):
            priority = 'VERY_HIGH'

            def before_train_iter(self, runner, *_, seed=seed, **__):
                torch.manual_seed(seed)
                runner.set_randomness(seed=7) if runner.seed != 7 else None
                torch.manual_seed(seed)

        _, spy = step(model, items, Draw(), hook)
        found.append(spy.pixels[6:])
    assert torch.equal(*found)


def test_the_logged_loss_of_particles(model, items):
    found, spy = step(model, items, particles(num_steps=1))
    clean = teacher_loss(model, spy.pixels[:6], spy.labels[:6]).mean().item()
    # At the start of the step, anywhere in a ball as small as this.
    assert found.losses and spy.scalars['train/particles/loss'].current() == pytest.approx(
        clean, rel=0.3
    )


def test_a_hook_after_one_that_found_nothing(model, items):
    nothing = dict(
        type='BoundarySampleHook',
        attack=dict(type='BSSAttack', num_steps=1, step_size=1e-6),
        student_correct=False,
    )
    found, spy = step(model, items, nothing, particles(num_particles=1))
    assert len(spy.labels) == 12
    assert 'distill.loss_second' in found.losses and 'distill.loss_first' not in found.losses


@pytest.mark.parametrize(
    'options', [dict(num_particles=0), dict(radius=0.0), dict(num_steps=0), dict(num_samples=1.5)]
)
def test_arguments_out_of_range(options):
    with pytest.raises(ValueError, match='LocalDistributionHook'):
        HOOKS.build(particles(**options))
