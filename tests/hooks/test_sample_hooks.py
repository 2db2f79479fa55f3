"""The other producers of samples in real Runners: particles, augmented copies, and two at once."""

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmpretrain.structures import DataSample
from mmrazor.registry import HOOKS, MODELS

from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.diagnostics.trial_step import try_step
from amkd_mm.hooks.sample_hook import SampleHook
from distillers import logit_distiller
from networks import classifier

K = 4
STD = [50.0, 60.0, 70.0]
MEAN = [120.0, 110.0, 100.0]
FLIP = dict(type='RandomFlip', prob=0.5)


@pytest.fixture
def model():
    torch.manual_seed(0)
    np.random.seed(0)  # MMEngine draws the seed of a run from it.
    network = classifier(num_classes=K, norm='GN')
    model = MODELS.build(
        dict(
            type='mmrazor.AMKD',
            architecture=network,
            teacher=network,
            distiller=logit_distiller(loss_first=1, loss_second=2),
            data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=True),
        )
    )
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


def test_radius_is_in_units_of_the_pixel_range(model, items):
    _, spy = step(model, items, particles())
    assert {'train/particles/loss', 'train/particles/samples'} <= set(spy.scalars)
    images = torch.stack([item['inputs'] for item in items]).float()
    distances = torch.cdist(spy.pixels[6:].flatten(1), images.flatten(1), p=float('inf')).amin(1)
    torch.testing.assert_close(distances.max().item(), 5e-4 * 255, rtol=0.02, atol=0)


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
