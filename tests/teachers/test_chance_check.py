"""ChanceCheck: a teacher that guesses is reported once, and no other."""

import pytest
import torch
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

from amkd_mm.teachers.chance_check import BATCHES, ChanceCheck
from caught import warnings_of
from given_samples import step_with_samples
from networks import classifier


def batch(num_classes, accuracy, size=64):
    """Logits and data samples; the first share of the rows is classified correctly."""
    labels = torch.randint(num_classes, (size,))
    predictions = (labels + 1) % num_classes
    hits = round(accuracy * size)
    predictions[:hits] = labels[:hits]
    logits = torch.nn.functional.one_hot(predictions, num_classes).float()
    return logits, [DataSample().set_gt_label(label) for label in labels]


def warnings_after(check, batches, *args):
    return warnings_of(
        lambda: [check.update(*batch(*args)) for _ in range(batches)], about='model.teacher_ckpt'
    )


def test_warns_once_after_ten_batches():
    check = ChanceCheck()
    assert not warnings_after(check, BATCHES - 1, 10, 0.1)
    (message,) = warnings_after(check, 1, 10, 0.1)
    assert BATCHES == 10
    # 6 of 64 images in each batch.
    assert 'classifies 9.4% of the first 640 training images' in message
    assert 'guessing among 10 classes' in message
    for key in ('model.teacher_ckpt', 'data_preprocessor', 'order of the classes'):
        assert key in message
    assert not warnings_after(check, 25, 10, 0.1)
    # Later batches are not even looked at: that would make a GPU wait in each step.
    assert check.total == 640


@pytest.mark.parametrize(
    'num_classes, accuracy, warns',
    [
        (2, 0.95, False),
        (2, 0.5, True),
        # Labels in another order: worse than guessing.
        (2, 0.05, True),
        (10, 0.9, False),
        # Of 640 images guessing gets 10 % and rarely more than 12.4 %.
        (10, 0.11, True),
        (10, 0.14, False),
        (1000, 0, True),
        # A weak teacher is still a teacher.
        (1000, 0.1, False),
    ],
)
def test_limit(num_classes, accuracy, warns):
    found = warnings_after(ChanceCheck(), 2 * BATCHES, num_classes, accuracy)
    assert len(found) == warns


def test_labels_without_a_dimension_count():
    check = ChanceCheck()
    samples = [DataSample() for _ in range(4)]
    for index, sample in enumerate(samples):
        sample.set_field(torch.tensor(index % 2), 'gt_label', dtype=torch.Tensor)
    check.update(torch.tensor([[1.0, 0.0]] * 4), samples)
    assert (check.correct, check.total) == (2, 4)


def test_a_teacher_that_only_begins_badly():
    check = ChanceCheck()
    assert not warnings_after(check, 3, 10, 0)
    assert not warnings_after(check, 17, 10, 0.5)


def test_batches_without_one_label_each_are_passed_over():
    check = ChanceCheck()
    logits, samples = batch(10, 0)
    several = [DataSample().set_gt_label([1, 2]) for _ in samples]
    unlabelled = [DataSample() for _ in samples]

    def update():
        for _ in range(BATCHES + 1):
            check.update(logits, several)
            check.update(logits, unlabelled)
            # Features instead of logits.
            check.update((logits,), samples)

    assert not warnings_of(update, about='model.teacher_ckpt')
    assert check.batches == 0


@pytest.mark.parametrize('knows', [False, True])
@pytest.mark.parametrize('trainable', [False, True])
def test_in_the_algorithm(knows, trainable):
    """A teacher that is trained may begin at chance."""
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            _scope_='mmrazor',
            type='AMKD',
            architecture=classifier(num_classes=10),
            teacher=classifier(num_classes=10),
            teacher_trainable=trainable,
            distiller=dict(type='ConfigurableDistiller'),
        )
    )
    torch.nn.init.normal_(model.teacher.head.fc.weight)
    model.train()
    inputs = torch.randn(20, 3, 8, 8)
    labels = model.teacher(inputs, mode='tensor').argmax(1)
    if not knows:
        labels = torch.arange(20) % 10
        model.teacher.head.fc.bias.data[0] = 100.0
    samples = [DataSample().set_gt_label(label) for label in labels]
    found = warnings_of(
        lambda: [model.loss(inputs, samples) for _ in range(BATCHES + 2)],
        about='model.teacher_ckpt',
    )
    assert len(found) == (not knows and not trainable)


def test_boundary_samples_do_not_count():
    """The teacher is expected to misjudge them."""
    torch.manual_seed(0)
    recorders = dict(logits=dict(type='ModuleOutputs', source='head'))
    model = MODELS.build(
        dict(
            _scope_='mmrazor',
            type='AMKD',
            architecture=classifier(num_classes=10),
            teacher=classifier(num_classes=10),
            distiller=dict(
                type='ConfigurableDistiller',
                student_recorders=recorders,
                teacher_recorders=recorders,
                distill_losses=dict(loss_boundary=dict(type='KLDivergence')),
                loss_forward_mappings=dict(
                    loss_boundary=dict(
                        preds_S=dict(recorder='logits', from_student=True, record_idx=1),
                        preds_T=dict(recorder='logits', from_student=False, record_idx=1),
                    )
                ),
            ),
        )
    )
    model.train()
    inputs = torch.randn(4, 3, 8, 8)
    predictions = model.teacher(inputs, mode='tensor').argmax(1)
    samples = [DataSample().set_gt_label(label) for label in predictions]
    step_with_samples(model, torch.cat([inputs, inputs.flip(0) + 1]), samples, num_clean=4)
    check = model.chance_checks['']
    assert (check.batches, check.correct, check.total) == (1, 4, 4)
