"""``reuse`` of BoundarySampleHook in real Runners."""

from functools import partial

import pytest
import torch
from mmengine.hooks import Hook
from mmrazor.registry import MODELS

import networks
from amkd_mm.hooks import BoundarySampleHook
from distillers import logit_distiller
from labelled_images import LabelledImages
from runners import quiet_runner

K = 4
pytestmark = pytest.mark.usefixtures('mmpretrain_scope')
classifier = partial(networks.classifier, num_classes=K)


class Watch(Hook):
    """Sees what the student's second pass got, and what was logged."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.labels, self.samples, self.logged = [], [], []

    def before_train(self, runner):
        looks = self.looks = []
        # A function, because the folded teacher has deep copies of all else.
        backbone = runner.model.teacher.backbone
        backbone.register_forward_pre_hook(lambda _, args: looks[-1].append(len(args[0])))

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.looks.append([])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        recorded = runner.model.distiller.student_recorders.get_recorder('labels').data_buffer
        self.labels.append(recorded[1].tolist() if len(recorded) > 1 else [])
        hooks = [hook for hook in runner.hooks if isinstance(hook, BoundarySampleHook)]
        self.samples.append([hook.samples for hook in hooks])
        scalars = runner.message_hub.log_scalars
        self.logged.append(
            {
                name.removeprefix('train/boundary/'): scalars[name].current()
                for name in scalars
                if name.startswith('train/boundary/')
            }
        )


def model(**options):
    torch.manual_seed(0)
    distiller = logit_distiller(dict(type='Logits'), loss_kl=0, loss_boundary=1)
    distiller['student_recorders']['labels'] = dict(type='Labels')
    settings = dict(distiller=distiller, teacher=classifier(), architecture=classifier(), **options)
    built = MODELS.build(dict(type='mmrazor.AMKD', **settings))
    built.teacher._is_init = True
    return built


def images(model, count=32):
    """Images that the teacher gets right."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    inputs = model.data_preprocessor(dict(inputs=pixels))['inputs']
    with torch.no_grad():
        labels = model.teacher.eval()(inputs, mode='tensor').argmax(1)
    return LabelledImages(pixels, labels.tolist())


def train(tmp_path, reuse, epochs=3, hooks=1, model_options=None, **settings):
    built = model(**(model_options or {}))
    watch = Watch()
    hook = dict(
        type='mmrazor.BoundarySampleHook',
        attack=dict(type='BSSAttack', num_steps=1),
        num_samples=4,
        keep_unreached=True,
        reuse=reuse,
    )
    options = dict(
        model=built,
        train_dataloader=dict(
            batch_size=8,
            num_workers=0,
            dataset=images(built),
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1), logger=None),
        custom_hooks=[*[hook] * hooks, watch],
    )
    runner = quiet_runner(tmp_path, **{**options, **settings})
    runner.train()
    return runner, watch


def test_the_teacher_searches_in_every_third_step_only(tmp_path):
    _, watch = train(tmp_path, reuse=3)
    assert len(watch.looks) == 12
    for step, looks in enumerate(watch.looks):
        # One step of the published attack looks before it and after it.
        searched = [4, 4] if step % 3 == 0 else []
        first = [2, 2] if step == 0 else []  # The folded teacher is compared with the teacher.
        assert looks == [*first, 8, *searched]
    for step, (samples,) in enumerate(watch.samples):
        assert len(samples.labels) == 4
        # Recorded labels are those of the samples, whatever batch they are from.
        assert watch.labels[step] == samples.labels.tolist()
        assert watch.logged[step]['samples'] == 4 and watch.logged[step]['attacked'] == 4
        l2 = watch.logged[step - step % 3]['l2']
        assert watch.logged[step]['l2'] == l2 and l2 > 0
    drawn = [tuple(sorted(samples.inputs.sum((1, 2, 3)).tolist())) for (samples,) in watch.samples]
    assert len(set(drawn[3:])) > 3


@pytest.mark.parametrize('hooks', [1, 2])
@pytest.mark.parametrize('epoch', [1, 2])
def test_a_resumed_training_equals_an_uninterrupted_one(hooks, epoch, tmp_path):
    """The second epoch ends between two searches, of which there is one in three steps."""
    whole, steps = train(tmp_path, reuse=3, hooks=hooks)
    path = str(tmp_path / f'epoch_{epoch}.pth')
    resumed, later = train(tmp_path, reuse=3, hooks=hooks, load_from=path, resume=True)
    first = 4 * epoch
    assert len(steps.samples) == 12 and len(later.samples) == 12 - first
    for expected, found in zip(steps.samples[first:], later.samples, strict=True):
        assert len(expected) == len(found) == hooks
        for one, other in zip(expected, found, strict=True):
            assert torch.equal(one.inputs, other.inputs)
            assert torch.equal(one.teacher_logits, other.teacher_logits)
    assert steps.logged[first]['l2'] == later.logged[0]['l2']
    expected = whole.model.student.state_dict()
    for name, values in resumed.model.student.state_dict().items():
        assert torch.equal(values, expected[name]), name


def test_a_training_that_only_begins_with_weights_has_an_empty_memory(tmp_path):
    train(tmp_path, reuse=3)
    _, fresh = train(tmp_path, reuse=3, load_from=str(tmp_path / 'epoch_2.pth'))
    assert len(fresh.looks) == 12 and fresh.looks[0][-2:] == [4, 4] and fresh.looks[1] == [8]


def test_a_trained_teacher_is_refused(tmp_path):
    with pytest.raises(ValueError, match='reuse must be 1 with `model.teacher_trainable=True`'):
        train(tmp_path, reuse=2, model_options=dict(teacher_trainable=True))


@pytest.mark.parametrize(('reuse', 'error'), [(0, ValueError), (2.0, TypeError), (True, TypeError)])
def test_reuse_out_of_range(reuse, error):
    with pytest.raises(error, match='BoundarySampleHook: reuse must be'):
        BoundarySampleHook(attack=dict(type='BoundarySearch'), reuse=reuse)
