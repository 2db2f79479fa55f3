"""MMRazor's validation of teacher and student, in a Runner, against counting and by hand."""

from collections import Counter

import numpy as np
import pytest
import torch
from mmengine.fileio import load
from mmengine.hooks import Hook
from mmengine.visualization import Visualizer

from amkd_mm.classifiers import to_logits

BATCHES = 3  # 40 images in batches of 16


class Watch(Hook):
    """Counts calls, and keeps what the hooks of a validation are given."""

    priority = 'LOWEST'

    def __init__(self):
        self.calls = Counter()
        self.predictions = []
        self.metrics = {}

    def before_val(self, runner):
        self.calls['before_val'] += 1

    def before_val_epoch(self, runner):
        self.calls['before_val_epoch'] += 1

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        self.calls['before_val_iter'] += 1

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.calls['after_val_iter'] += 1
        self.predictions.extend(int(output.pred_label) for output in outputs)

    def after_val_epoch(self, runner, metrics=None):
        self.calls['after_val_epoch'] += 1
        self.metrics = metrics

    def after_val(self, runner):
        self.calls['after_val'] += 1


EACH_ONCE = dict(
    before_val=1,
    before_val_epoch=1,
    before_val_iter=BATCHES,
    after_val_iter=BATCHES,
    after_val_epoch=1,
    after_val=1,
)


def predict(runner, network):
    """Classes of all validation images by one of the two networks, one image at a time."""
    network.eval()
    found, labels = [], []
    for item in runner.val_dataloader.dataset:
        images = (item['inputs'][None] - 78.0) / 96.0
        with torch.no_grad():
            found.append(int(to_logits(network(images, mode='tensor')).argmax()))
        labels.append(int(item['data_samples'].gt_label))
    return found, np.mean(np.equal(found, labels)) * 100


@pytest.fixture
def validated(make_runner, tmp_path):
    """A validation of two networks that differ, with all that looks at it."""
    runner = make_runner(
        {
            'model.architecture.head.init_cfg': dict(type='Normal', layer='Linear', std=1.0),
        },
        val_evaluator=[
            dict(type='mmpretrain.Accuracy', topk=(1,)),
            dict(type='DumpResults', out_file_path=str(tmp_path / 'predictions.pkl')),
        ],
    )
    watch = Watch()
    runner.register_hook(watch)
    return runner, watch, runner.val()


def test_hooks_see_the_student_alone(validated):
    runner, watch, _ = validated
    of_student, _ = predict(runner, runner.model.student)
    of_teacher, _ = predict(runner, runner.model.teacher)
    assert of_student != of_teacher
    assert watch.predictions == of_student
    assert watch.calls == EACH_ONCE


def test_metrics_are_those_of_both(validated):
    runner, watch, returned = validated
    expected = {
        'accuracy/top1': predict(runner, runner.model.student)[1],
        'teacher.accuracy/top1': predict(runner, runner.model.teacher)[1],
    }
    assert returned == watch.metrics == pytest.approx(expected)
    # `save_best='auto'` watches the first.
    assert next(iter(returned)) == 'accuracy/top1'
    logged = runner.message_hub.log_scalars
    assert logged['val/teacher.accuracy/top1'].current() == returned['teacher.accuracy/top1']


def test_a_file_of_predictions_is_the_students(validated, tmp_path):
    runner, *_ = validated
    dumped = [int(one['pred_label']) for one in load(tmp_path / 'predictions.pkl')]
    assert dumped == predict(runner, runner.model.student)[0]
    # The teacher's pass leaves the metrics as they were.
    assert len(runner.val_evaluator.metrics) == 2


def test_pictures_show_the_students_predictions(make_runner, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        'mmpretrain.visualization.UniversalVisualizer.visualize_cls',
        lambda self, image, data_sample, **_: drawn.append(int(data_sample.pred_label)),
    )
    runner = make_runner(
        visualizer=dict(type='mmpretrain.UniversalVisualizer', name='pictures'),
        default_hooks=dict(
            visualization=dict(type='mmpretrain.VisualizationHook', enable=True, interval=1)
        ),
    )
    assert Visualizer.get_current_instance() is runner.visualizer
    torch.nn.init.normal_(runner.model.student.head.fc.weight, std=1.0)
    runner.model._is_init = True
    runner.val()
    assert drawn == predict(runner, runner.model.student)[0]


def test_the_log_counts_each_batch_once(make_runner):
    lines = []
    runner = make_runner(
        {'default_hooks.logger': dict(type='LoggerHook', interval=1, _delete_=True)}
    )
    runner.logger.info = lines.append
    runner.val()
    # The last line has the metrics.
    counted = [line.partition('    ')[0].replace(' ', '') for line in lines]
    assert counted == [f'Epoch(val)[0][{batch}/3]' for batch in (1, 2, 3, 3)]


@pytest.mark.parametrize('kind', ['EMAHook', 'mmpretrain.EMAHook'])
def test_averaged_weights_are_validated_and_taken_out_again(make_runner, kind):
    """Both passes are one epoch to the hook that swaps them in and out."""
    hook = dict(type=kind, momentum=0.5)
    if kind != 'EMAHook':
        hook['evaluate_on_origin'] = True
    runner = make_runner(hooks=[hook], train_cfg=dict(max_epochs=2))
    watch = Watch()
    runner.register_hook(watch)
    runner.model.init_weights()
    teacher = [weight.clone() for weight in runner.model.teacher.state_dict().values()]
    runner.train()
    (ema,) = (one.ema_model.module for one in runner.hooks if hasattr(one, 'ema_model'))

    again = 2 if kind == 'EMAHook' else 4
    assert watch.calls['after_val_iter'] == again * BATCHES
    assert watch.metrics['accuracy/top1'] == pytest.approx(predict(runner, ema.student)[1])
    weights = [network.student.head.fc.weight for network in (ema, runner.model)]
    assert not torch.equal(*weights)
    if kind != 'EMAHook':
        origin = runner.message_hub.log_scalars['val/accuracy/top1_origin'].current()
        assert origin == pytest.approx(predict(runner, runner.model.student)[1])
    # An average of equal weights.
    for network in (runner.model, ema):
        found = network.teacher.state_dict().values()
        assert all(torch.equal(*pair) for pair in zip(teacher, found, strict=True))


def test_both_passes_have_the_precision_of_the_setting(make_runner):
    runner, seen = make_runner(val_cfg=dict(fp16=True)), {}
    for name in ('student', 'teacher'):
        layer = getattr(runner.model, name).head.fc
        layer.register_forward_hook(
            lambda module, inputs, output, name=name: seen.update({name: output.dtype})
        )
    runner.val()
    assert seen == dict(student=torch.bfloat16, teacher=torch.bfloat16)


def test_self_distillation_returns_its_metrics(make_runner):
    runner = make_runner(val_cfg=dict(type='mmrazor.SelfDistillValLoop', _delete_=True))
    watch = Watch()
    runner.register_hook(watch)
    returned = runner.val()
    expected = {'student.accuracy/top1': predict(runner, runner.model.student)[1]}
    assert returned == watch.metrics == pytest.approx(expected)
    assert watch.calls == EACH_ONCE


def test_a_test_is_of_the_student_alone(make_runner):
    runner = make_runner()
    assert runner.test() == {
        'accuracy/top1': pytest.approx(predict(runner, runner.model.student)[1])
    }
