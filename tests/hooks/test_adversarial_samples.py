"""AdversarialSampleHook in AMKD: what the search of samples leaves as it was, and mixes."""

import copy

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from mmrazor.registry import HOOKS, MODELS

from amkd_mm.diagnostics.trial_step import try_step
from amkd_mm.samplers import AdversarialSampler, SampleRequest
from distillers import logit_distiller
from given_samples import give
from networks import classifier

K = 4
STD = [50.0, 60.0, 70.0]


@pytest.fixture
def model():
    """With batch norm and dropout, which the search is to leave alone."""
    torch.manual_seed(0)
    np.random.seed(0)
    head = dict(
        type='StackedLinearClsHead',
        num_classes=K,
        in_channels=64,
        mid_channels=[16],
        dropout_rate=0.5,
    )
    model = MODELS.build(
        dict(
            type='mmrazor.AMKD',
            architecture=classifier(num_classes=K, head=head),
            teacher=classifier(num_classes=K),
            distiller=logit_distiller(loss_kl=0, loss_adversarial=1),
            data_preprocessor=dict(mean=[120.0, 110.0, 100.0], std=STD, to_rgb=True),
        )
    )
    model.init_weights()
    # Or all answers are nearly the same.
    for layer in (model.teacher.head.fc, model.student.head.layers[-1].fc):
        torch.nn.init.normal_(layer.weight)
    model._is_init = True
    return model.train()


@pytest.fixture
def batch(model):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 3, 8, 8), generator=generator)
    samples = [DataSample().set_gt_label(label) for label in (0, 3, 1, 0, 2, 1)]
    return model.data_preprocessor(dict(inputs=images))['inputs'], samples


def sampler(answers='adversarial'):
    return HOOKS.build(
        dict(
            _scope_='mmrazor',
            type='AdversarialSampleHook',
            teacher_answers=answers,
            radius=24 / 255,
            step_size=8 / 255,
            num_steps=4,
        )
    ).sampler


def state_after(model, batch):
    """Losses, gradients and buffers of a step."""
    torch.manual_seed(1)  # Of dropout
    losses = model.loss(*batch)
    assert all(parameter.grad is None for parameter in model.parameters())
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return losses, gradients, dict(model.named_buffers())


@pytest.mark.parametrize('answers', ['clean', 'adversarial'])
def test_the_search_leaves_the_student_as_it_was(answers, model, batch):
    """A step is that with the same samples from nowhere: batch norm, gradients, modes, records."""
    other = copy.deepcopy(model)
    request = SampleRequest(0, (8, 8))
    model.samplers = [sampler(answers)]
    model.request_samples(model.samplers[0], request)
    before = {name: module.training for name, module in model.named_modules()}
    found = state_after(model, batch)
    assert before == {name: module.training for name, module in model.named_modules()}

    other.samplers = []
    give(other, request.samples.inputs)
    expected = state_after(other, batch)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], msg=name)
    assert not any(name.startswith('teacher') for name in found[1])
    assert any('bn' in name for name in found[2])


@pytest.mark.parametrize('answers', ['clean', 'adversarial'])
def test_the_samples_leave_the_teacher(answers, model, batch):
    """Within the ball, and much further from the teacher's answer than the images."""
    request, answered = SampleRequest(0, (8, 8)), []

    class Look(AdversarialSampler):
        def __call__(self, batch, generator):
            found = super().__call__(batch, generator)
            with torch.no_grad():
                for inputs in (batch.inputs, found.inputs):
                    seen = batch.inputs if answers == 'clean' else inputs
                    answered.append((batch.student(inputs), batch.teacher(seen)))
            return found

    model.samplers = [Look(answers, 24 / 255, 8 / 255, 4)]
    model.request_samples(model.samplers[0], request)
    model.loss(*batch)
    found = request.samples
    scale = torch.tensor(STD).view(3, 1, 1) / 255
    distances = ((found.inputs - batch[0]) * scale).abs()
    assert distances.max() <= 24 / 255 * 1.001 and distances.mean() > 12 / 255

    before, after = (
        (t.softmax(1) * (t.log_softmax(1) - s.log_softmax(1))).sum(1).mean() for s, t in answered
    )
    assert after > 1.3 * before
    torch.testing.assert_close(found.statistics['divergence'], after)


def test_student_in_evaluation_mode_is_asked(model, batch):
    """With the running statistics and without dropout: equal images get equal answers."""
    asked = []

    class Look(AdversarialSampler):
        def __call__(self, batch, generator):
            one = batch.inputs[:1]
            asked.append(batch.student(one.repeat(3, 1, 1, 1)))
            asked.append(batch.student(one))
            return super().__call__(batch, generator)

    model.samplers = [Look('clean', 0.1, 0.1, 1)]
    model.request_samples(model.samplers[0], SampleRequest(0, (8, 8)))
    model.loss(*batch)
    torch.testing.assert_close(asked[0], asked[1].expand(3, K))


def test_beside_boundary_samples(model):
    """AMKD mixes with it: the second hook's samples have the next record."""
    model.distiller.loss_forward_mappings['loss_adversarial'] = {
        side: dict(record, record_idx=2)
        for side, record in model.distiller.loss_forward_mappings['loss_adversarial'].items()
    }
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 3, 8, 8), generator=generator).to(torch.uint8)
    labels = (
        model.eval()
        .teacher(model.data_preprocessor(dict(inputs=images))['inputs'], mode='tensor')
        .argmax(1)
    )
    items = [
        dict(inputs=image, data_samples=DataSample().set_gt_label(label))
        for image, label in zip(images, labels.tolist(), strict=True)
    ]
    found = try_step(
        model,
        items,
        [
            dict(type='BoundarySampleHook', attack=dict(type='BoundarySearch'), num_samples=2),
            dict(type='AdversarialSampleHook', teacher_answers='clean', num_steps=1),
        ],
    )
    assert found.is_finite and found.losses['distill.loss_adversarial'] > 0
    recorder = model.distiller.student_recorders.get_recorder('logits')
    assert [len(record) for record in recorder.data_buffer] == [6, 2, 6]


@pytest.mark.parametrize(
    ('argument', 'value', 'error'),
    [
        ('teacher_answers', 'moved', ValueError),
        ('radius', 0, ValueError),
        ('radius', '8/255', TypeError),
        ('step_size', -1, ValueError),
        ('num_steps', 0, ValueError),
    ],
)
def test_arguments(argument, value, error):
    settings = dict(teacher_answers='clean')
    with pytest.raises(error, match=f'AdversarialSampleHook: {argument}'):
        HOOKS.build(
            dict(_scope_='mmrazor', type='AdversarialSampleHook', **{**settings, argument: value})
        )
