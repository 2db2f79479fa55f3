"""BoundaryVisualizationHook in real Runners: what it draws, when, and what it leaves as it was."""

import itertools
import random
import re
from uuid import uuid4

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import BaseModule
from mmengine.registry import VISBACKENDS
from mmengine.visualization import BaseVisBackend
from mmpretrain.engine import VisualizationHook
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer
from torch import Tensor, nn

from amkd_mm.algorithms import AMKD
from amkd_mm.classifiers.modes import evaluation_mode
from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.hooks import BoundarySampleHook, boundary_visualization_hook
from amkd_mm.hooks.boundary_visualization_hook import BoundaryVisualizationHook
from amkd_mm.hooks.log_order import keep_log_order
from amkd_mm.samplers import BoundarySampler
from distillers import logit_distiller
from labelled_images import LabelledImages, predictions, random_images
from runners import quiet_runner

NUM_CLASSES = 4
PREPROCESSORS = dict(
    rgb=dict(mean=[120.0, 130.0, 110.0], std=[60.0, 70.0, 80.0], to_rgb=False),
    bgr=dict(mean=[120.0, 130.0, 110.0], std=[60.0, 70.0, 80.0], to_rgb=True),
    gray=dict(mean=[120.0], std=[60.0], to_rgb=False),
    two=dict(mean=[120.0, 130.0], std=[60.0, 70.0], to_rgb=False),
    four=dict(mean=[120.0, 130.0, 110.0, 90.0], std=[60.0, 70.0, 80.0, 90.0], to_rgb=False),
)
CHANNELS = dict(gray=1, two=2, four=4)
PRODUCER = dict(
    type='mmrazor.BoundarySampleHook',
    attack=dict(type='BoundarySearch'),
    num_samples=5,
    student_correct=False,
)
# Ends where it started, so that no sample is moved.
STAY = dict(type='BSSAttack', num_steps=1, step_size=1e-6)
CLASSES = ('ant', 'bee', 'cow', 'dog')


@VISBACKENDS.register_module()
class Memory(BaseVisBackend):
    """Keeps what it is given."""

    def __init__(self, save_dir):
        super().__init__(save_dir)
        self.images, self.scalars = [], []

    def _init_env(self):
        pass

    @property
    def experiment(self):
        return self

    def add_image(self, name, image, step=0, **kwargs):
        self.images.append((name, image, step))

    def add_scalars(self, scalar_dict, step=0, file_path=None, **kwargs):
        self.scalars.append(scalar_dict)


class Backbone(BaseModule):
    """Batch norm and dropout: what asking a network once more would change in training mode."""

    def __init__(self, channels):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), nn.Flatten()
        )

    def forward(self, inputs):
        return (self.layers(inputs),)


def classifier(kind, seed):
    torch.manual_seed(seed)
    model = ImageClassifier(
        backbone=Backbone(CHANNELS.get(kind, 3)),
        head=dict(
            _scope_='mmpretrain', type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=288
        ),
    )
    nn.init.normal_(model.head.fc.weight, std=0.3)
    # Or the Runner would draw new weights.
    model._is_init = True
    return model


def make_amkd(kind):
    return AMKD(
        teacher=classifier(kind, 0),
        architecture=classifier(kind, 1),
        data_preprocessor=dict(
            _scope_='mmpretrain', type='ClsDataPreprocessor', **PREPROCESSORS[kind]
        ),
        distiller=logit_distiller(loss_kl=0, loss_boundary=1),
    )


def train(
    tmp_path, kind='rgb', epochs=1, producers=(PRODUCER,), hooks=(), log_level='ERROR', **options
):
    """Train in a Runner; returns it and its back end."""
    model, images = make_amkd(kind), random_images(24, CHANNELS.get(kind, 3))
    # Which the teacher classifies correctly.
    labels = predictions(model.teacher, images, model.data_preprocessor)
    train_cfg = options.pop('train_cfg', dict(by_epoch=True, max_epochs=epochs))
    # Pictures of one sample: drawing takes longer than all the rest.
    drawer = dict(type='mmrazor.BoundaryVisualizationHook', enable=True, num_samples=1)
    runner = quiet_runner(
        tmp_path,
        model=model,
        train_dataloader=dict(
            batch_size=12,
            num_workers=0,
            dataset=LabelledImages(images, labels, CLASSES),
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        train_cfg=train_cfg,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05)),
        custom_hooks=[{**drawer, **options}, *producers, *hooks],
        default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook', interval=1)),
        log_processor=dict(by_epoch='max_epochs' in train_cfg),
        visualizer=dict(
            type='mmpretrain.UniversalVisualizer',
            vis_backends=[dict(type='Memory'), dict(type='LocalVisBackend')],
            name=uuid4().hex,
        ),
        log_level=log_level,
    )
    runner.train()
    return runner, runner.visualizer.get_backend('Memory')


class Watch(Hook):
    """What the networks say of the first batch with boundary samples, in ways of its own."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.found = None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        (samples,) = [h.samples for h in runner.hooks if isinstance(h, BoundarySampleHook)]
        if self.found is not None or not len(samples.rows):
            return
        model = runner.model
        self.found = []
        moved = Normalizer(model.data_preprocessor).denormalize(samples.inputs)
        clean = torch.stack(list(data_batch['inputs']))
        for images in (clean[samples.rows], moved):
            inputs = model.data_preprocessor(dict(inputs=images), False)['inputs']
            answers = {}
            for name in ('teacher', 'student'):
                network = getattr(model, name)
                with evaluation_mode(network), torch.no_grad():
                    answers[name] = network(inputs, mode='tensor').softmax(1).numpy()
            self.found.append((images.float().numpy(), answers))
        self.labels, self.targets = samples.labels.tolist(), samples.targets.tolist()


@pytest.mark.parametrize('kind', PREPROCESSORS)
def test_draws_what_the_training_is_fed(kind, tmp_path, monkeypatch):
    drawn, watch = [], Watch()
    draw = boundary_visualization_hook.draw_boundary_panel

    def spy(*args, **kwargs):
        drawn.append((args, kwargs))
        return draw(*args, **kwargs)

    monkeypatch.setattr(boundary_visualization_hook, 'draw_boundary_panel', spy)
    runner, backend = train(tmp_path, kind, hooks=[watch], num_samples=3)
    ((args, kwargs),) = drawn
    images, moved, bases, targets, before, after, names = args
    for shown, answers, (pixels, expected) in zip(
        (images, moved), (before, after), watch.found, strict=True
    ):
        assert len(pixels) > 3
        # All channels, reversed where the network gets them reversed.
        order = [2, 1, 0] if kind == 'bgr' else slice(None)
        np.testing.assert_allclose(shown, pixels[:3, order].transpose(0, 2, 3, 1), atol=1e-3)
        for name in ('teacher', 'student'):
            np.testing.assert_allclose(answers[name], expected[name][:3], atol=1e-4)
    assert (bases, targets) == (watch.labels[:3], watch.targets[:3])
    assert names == CLASSES
    assert kwargs['title'] == 'Boundary samples, epoch 1 of 1, iteration 1'

    ((name, image, step),) = backend.images
    assert (name, step) == ('boundary_samples', 1)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert len(list(tmp_path.glob('*/vis_data/vis_image/boundary_samples_1.png'))) == 1


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(), [1, 2, 3, 4]),
        (dict(interval=2), [2, 4]),
        (dict(enable=False), []),
        (dict(producers=[dict(PRODUCER, end=0.5)]), [1, 2]),
        (dict(producers=[dict(PRODUCER, begin=3)]), [4]),
    ],
)
def test_epochs_with_a_picture(options, expected, tmp_path):
    _, backend = train(tmp_path, epochs=4, **options)
    assert [step for _, _, step in backend.images] == expected


def test_says_that_no_sample_could_be_moved(tmp_path, monkeypatch):
    said = []
    draw = boundary_visualization_hook.draw_notice
    monkeypatch.setattr(
        boundary_visualization_hook,
        'draw_notice',
        lambda title, text: said.append(f'{title}: {text}') or draw(title, text),
    )
    _, backend = train(tmp_path, epochs=2, producers=[dict(PRODUCER, attack=STAY)])
    assert said == [
        f'Boundary samples, epoch {epoch} of 2: '
        "No sample could be moved to the teacher's decision boundary."
        for epoch in (1, 2)
    ]
    assert [step for _, _, step in backend.images] == [1, 2]
    # There are letters in it, and nothing at the edge.
    for _, image, _ in backend.images:
        assert (image < 128).any() and (image[:, [0, -1]] == 255).all()


def test_samples_of_other_hooks_are_not_drawn(tmp_path):
    augment = dict(type='mmrazor.AugmentedSampleHook', transforms=[dict(type='RandomFlip')])
    augment['transforms'][0].update(prob=1.0)
    _, backend = train(tmp_path, producers=[dict(PRODUCER, attack=STAY), augment], num_samples=6)
    # The notice is lower than any panel.
    assert [image.shape[0] < 200 for _, image, _ in backend.images] == [True]


def test_the_training_is_the_same_with_and_without(tmp_path):
    found = []
    for enable in (True, False):
        (tmp_path / str(enable)).mkdir()
        figures = plt.get_fignums()
        runner, backend = train(tmp_path / str(enable), epochs=3, enable=enable)
        assert len(backend.images) == 3 * enable
        assert plt.get_fignums() == figures
        losses = [scalars.get('loss') for scalars in backend.scalars]
        states = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
        modes = [module.training for module in runner.model.modules()]
        gradients = [p.grad is None for p in runner.model.parameters()]
        found.append((runner.model.state_dict(), losses, states, modes, gradients))
    (first, *others), (second, *same) = found
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert others[0] == same[0] and len(set(others[0])) > 3
    assert torch.equal(others[1][0], same[1][0])
    assert np.array_equal(others[1][1], same[1][1]) and others[1][2] == same[1][2]
    assert others[2:] == same[2:]


def test_only_the_first_process_asks_and_draws(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        boundary_visualization_hook, 'evaluation_mode', lambda *args: asked.append(args)
    )
    monkeypatch.setattr('mmengine.dist.utils.is_main_process', lambda *_: False)
    train(tmp_path)
    assert not asked
    assert not list(tmp_path.glob('*/vis_data/vis_image/*'))


def test_what_it_cannot_draw_is_refused(tmp_path):
    with pytest.raises(ValueError, match="dict\\(type='mmrazor.BoundarySampleHook', ...\\)"):
        train(tmp_path, producers=[])
    with pytest.raises(ValueError, match='BoundaryVisualizationHook: interval=1 counts epochs'):
        train(tmp_path, train_cfg=dict(by_epoch=False, max_iters=2))
    # Disabled it may stand in any config.
    train(tmp_path, producers=[], enable=False)
    train(tmp_path, train_cfg=dict(by_epoch=False, max_iters=2), enable=False)
    for options in (dict(interval=0), dict(num_samples=0)):
        with pytest.raises(ValueError, match='must be >= 1'):
            BoundaryVisualizationHook(**options)


@pytest.mark.parametrize('loop', [dict(by_epoch=False, max_iters=8), dict(max_epochs=4)])
@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(interval=3), [3, 6]),
        (dict(), [1, 2, 3, 4, 5, 6, 7, 8]),
        # Samples in iterations 3 and 4 (from 1) only.
        (dict(producers=[dict(PRODUCER, begin=0.25, end=0.5)]), [3, 4]),
        # A batch without samples: the next one that has any. These are 1, 3, 5, 7.
        (dict(interval=4, producers=[dict(PRODUCER, interval=2)]), [4, 8]),
    ],
)
def test_iterations_with_a_picture(options, expected, loop, tmp_path, monkeypatch):
    titles = []
    draw = boundary_visualization_hook.draw_boundary_panel

    def spy(*args, **kwargs):
        titles.append(kwargs['title'])
        return draw(*args, **kwargs)

    monkeypatch.setattr(boundary_visualization_hook, 'draw_boundary_panel', spy)
    options = {'producers': [PRODUCER], **options}
    options['producers'] = [dict(p, by_epoch=False) for p in options['producers']]
    train_cfg = dict(dict(by_epoch=True), **loop)
    _, backend = train(tmp_path, train_cfg=train_cfg, by_epoch=False, **options)
    assert [step for _, _, step in backend.images] == expected
    for step, title in zip(expected, titles, strict=False):
        assert title == f'Boundary samples, iteration {step} of 8'


# --- What fails -----------------------------------------------------------------------------------


def warnings_of(tmp_path):
    """The warnings of a run's log."""
    (log,) = tmp_path.glob('*/*.log')
    return [line for line in log.read_text().splitlines() if 'WARNING' in line]


class Full(BaseVisBackend):
    """A disk that is full."""

    def _init_env(self):
        pass

    @property
    def experiment(self):
        return self

    def add_image(self, *args, **kwargs):
        raise OSError(28, 'No space left on device')


VISBACKENDS.register_module(module=Full)


def break_drawing(monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError('no font')

    monkeypatch.setattr(boundary_visualization_hook, 'draw_boundary_panel', fail)


def break_the_disk(monkeypatch):
    monkeypatch.setattr(
        'mmengine.visualization.LocalVisBackend.add_image', Full.add_image, raising=True
    )


def break_the_notice(monkeypatch):
    break_drawing(monkeypatch)
    monkeypatch.setattr(
        boundary_visualization_hook,
        'draw_notice',
        boundary_visualization_hook.draw_boundary_panel,
    )


@pytest.mark.parametrize(
    ('break_it', 'producer', 'cause'),
    [
        (break_drawing, PRODUCER, 'RuntimeError: no font'),
        (break_the_disk, PRODUCER, 'OSError: [Errno 28] No space left on device'),
        (break_the_notice, dict(PRODUCER, attack=STAY), 'RuntimeError: no font'),
    ],
)
def test_a_picture_that_fails_ends_no_training(break_it, producer, cause, tmp_path, monkeypatch):
    break_it(monkeypatch)
    runner, _ = train(tmp_path, epochs=3, producers=[producer], log_level='WARNING')
    assert runner.iter == 6
    (warning,) = [line for line in warnings_of(tmp_path) if 'BoundaryVisualizationHook' in line]
    assert warning.endswith(cause)


def test_an_interrupt_ends_the_training(tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(boundary_visualization_hook, 'draw_boundary_panel', interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)


# --- Curves ---------------------------------------------------------------------------------------


def test_all_curves_reach_the_back_ends_and_end_with_their_samples(tmp_path):
    schedule = dict(type='mmrazor.LossWeightScheduleHook', policy='linear', start=2.0, stop=0.0)
    schedule = dict(schedule, loss='loss_boundary', end=0.5)
    producer = dict(PRODUCER, end=0.5)
    _, backend = train(tmp_path, epochs=2, producers=[producer, schedule], enable=False)
    curves = [scalars for scalars in backend.scalars if 'loss' in scalars]
    names = 'attacked', 'reached', 'probability_gap', 'l2', 'seconds'
    of_samples = {f'boundary/{name}' for name in names}
    of_samples |= {'distill.loss_boundary'}
    always = {'boundary/samples', 'boundary/share', 'weight/loss_boundary', 'distill.loss_kl'}
    always |= {'student.loss', 'loss'}
    # Two steps in each of two epochs
    assert len(curves) == 4
    for scalars in curves[:2]:
        assert always | of_samples <= set(scalars)
        assert scalars['boundary/samples'] == 5 and scalars['boundary/share'] == 5 / 12
    for scalars in curves[2:]:
        assert always <= set(scalars) and not of_samples & set(scalars)
        assert scalars['boundary/samples'] == scalars['boundary/share'] == 0
    # MMEngine averages it over the last steps, as all that has `loss` in its name.
    weights = [scalars['weight/loss_boundary'] for scalars in curves]
    assert weights == pytest.approx([2, 2, 4 / 3, 1])


class SometimesSampler(BoundarySampler):
    """Finds samples in some steps only."""

    iterations, step = (), -1

    def __call__(self, batch, generator):
        self.step += 1
        made = super().__call__(batch, generator)
        if self.step in self.iterations:
            return made
        kept = made.rows[:0]
        tensors = {
            name: value[kept] for name, value in made._asdict().items() if isinstance(value, Tensor)
        }
        return made._replace(**tensors, statistics=dict(attacked=made.statistics['attacked']))


class Sometimes(BoundarySampleHook):
    sampler_class = SometimesSampler

    def __init__(self, iterations, **kwargs):
        super().__init__(**kwargs)
        self.sampler.iterations = iterations


@pytest.mark.parametrize('iterations', [(0, 3, 5), (2, 3), (1, 5), (0, 1, 2, 3, 4, 5), ()])
def test_the_log_keeps_its_order(iterations, tmp_path):
    """Whatever a step has no value of: two values that stand in two lines stand in one order."""
    options = {key: value for key, value in PRODUCER.items() if key != 'type'}
    augment = dict(type='mmrazor.AugmentedSampleHook', transforms=[], end=2)
    schedule = dict(
        type='mmrazor.LossWeightScheduleHook', loss='loss_kl', policy='constant', start=1.0
    )
    runner, backend = train(
        tmp_path,
        epochs=3,
        producers=[Sometimes(iterations, **options), augment, schedule],
        enable=False,
        log_level='INFO',
    )
    (log,) = tmp_path.glob('*/*.log')
    text = [line for line in log.read_text().splitlines() if 'Epoch(train)' in line]
    lines = [re.findall(r'(\S+): ', line.split('Epoch(train)')[1]) for line in text]
    orders = [list(scalars) for scalars in backend.scalars if 'loss' in scalars]
    assert len(lines) == len(orders) == 6
    for found in (lines, orders):
        for first, second in itertools.combinations(found, 2):
            assert [k for k in first if k in second] == [k for k in second if k in first]
    for step, names in enumerate(lines):
        # No value of a step before.
        assert ('boundary/probability_gap' in names) == (step in iterations)
        assert ('distill.loss_boundary' in names) == (step in iterations)
        # Those of a producer stand together.
        places = [place for place, name in enumerate(names) if name.startswith('boundary/')]
        assert places == list(range(places[0], places[0] + len(places)))


def test_a_resumed_log_keeps_its_order(tmp_path):
    """Also of values that were not there when the checkpoint was written."""
    hub = MessageHub('first')
    for name in ('train/a/x', 'train/loss', 'train/a/y'):
        hub.update_scalar(name, 1.0)
    keep_log_order(hub)
    order = ['train/a/x', 'train/a/y', 'train/loss']
    assert list(hub.log_scalars) == order
    hub.log_scalars.pop('train/a/x')
    keep_log_order(hub)
    resumed = MessageHub('second')
    resumed.load_state_dict(hub.state_dict())
    resumed.update_scalar('train/a/x', 2.0)
    keep_log_order(resumed)
    assert list(resumed.log_scalars) == order


def test_pictures_of_mmpretrain_end_no_training(tmp_path, monkeypatch):
    """VisualizationHook on two and four channels, and on a disk that is full."""
    shown = []

    def keep(self, name, image, *args, **kwargs):
        shown.append(image)

    monkeypatch.setattr('mmengine.visualization.LocalVisBackend.add_image', keep)
    visualizer = UniversalVisualizer(vis_backends=[dict(type='LocalVisBackend')], save_dir=tmp_path)
    for channels in (1, 2, 3, 4):
        hook = VisualizationHook(enable=True, interval=1, rescale_factor=4)
        hook._visualizer = visualizer
        images = torch.zeros(1, channels, 8, 8, dtype=torch.uint8)
        images[:, : min(channels, 3)] = 200
        sample = DataSample().set_gt_label(0).set_pred_label(0)
        hook._draw_samples(0, dict(inputs=images), [sample])
        # Bright, and not transparent.
        assert (shown[-1][-2:, -2:] == 200).all() and hook.enable
    monkeypatch.setattr('mmengine.visualization.LocalVisBackend.add_image', Full.add_image)
    hook._draw_samples(0, dict(inputs=images), [sample])
    assert not hook.enable
