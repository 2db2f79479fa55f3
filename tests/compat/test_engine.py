"""Each class that docs/hooks_and_optimizers.md names, in a Runner of a distillation.

A row that says yes has a check of what the class does there, and one that says no the error.
"""

import json
import logging
import math
import re
from copy import deepcopy
from pathlib import Path

import mmengine.hooks
import mmengine.optim  # noqa: F401
import mmpretrain.engine  # noqa: F401
import numpy as np
import pytest
import torch
from mmengine import registry as mmengine_registry
from mmengine.fileio import load
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.optim import build_optim_wrapper
from mmpretrain import registry as mmpretrain_registry
from mmrazor.models.algorithms import SingleTeacherDistill
from torch import nn

PAGE = Path(__file__).parents[2] / 'docs/hooks_and_optimizers.md'
ROWS = dict(
    re.findall(r'^\| `((?:mmengine|mmpretrain)\.\w+)` \| (yes|no) \|', PAGE.read_text(), re.M)
)
CHECKS = {}
STEPS = 3  # 40 images in batches of 16


def check(name, **kwargs):
    """Marks the check of a class."""

    def mark(function):
        CHECKS[name] = lambda *args: function(*args, **kwargs)
        return function

    return mark


class Watch(Hook):
    """Calls functions with the Runner, by the name of the moment."""

    priority = 'LOWEST'

    def __init__(self, **functions):
        for name, function in functions.items():
            setattr(self, name, lambda runner, *_, function=function, **__: function(runner))

    def get_triggered_stages(self):
        return [stage for stage in self.stages if hasattr(self, stage)]


def watched(runner, **functions):
    runner.register_hook(Watch(**functions))
    return runner


def hook_of(runner, kind):
    (hook,) = (hook for hook in runner.hooks if type(hook).__name__ == kind)
    return hook


def vision_transformer(width=16):
    arch = dict(embed_dims=width, num_layers=3, num_heads=2, feedforward_channels=32)
    return dict(
        _scope_='mmpretrain',
        _delete_=True,
        type='ImageClassifier',
        backbone=dict(type='VisionTransformer', arch=arch, img_size=8, patch_size=4),
        head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=width),
    )


def test_the_page_names_every_class():
    expected = set()
    for package, registries in (
        ('mmengine', mmengine_registry),
        ('mmpretrain', mmpretrain_registry),
    ):
        for name in ('HOOKS', 'LOOPS', 'OPTIM_WRAPPER_CONSTRUCTORS', 'OPTIMIZERS'):
            # MMEngine's optimizers are PyTorch's.
            if (package, name) == ('mmengine', 'OPTIMIZERS'):
                continue
            for kind, found in getattr(registries, name).module_dict.items():
                if found.__module__.startswith(f'{package}.'):
                    expected.add(f'{package}.{kind}')
    assert len(expected) > 30
    assert set(ROWS) == expected == set(CHECKS)


@pytest.mark.parametrize('name', ROWS)
def test_row(name, make_runner, tmp_path, monkeypatch):
    CHECKS[name](make_runner, tmp_path, monkeypatch)


def test_rows_that_say_no_are_those_with_an_error():
    assert {name for name, works in ROWS.items() if works == 'no'} == UNSUPPORTED


UNSUPPORTED = set()


def unsupported(name):
    UNSUPPORTED.add(name)
    return check(name)


# --- Hooks of MMEngine ----------------------------------------------------------------------------


@check('mmengine.CheckpointHook')
def check_checkpoint_hook(make_runner, folder, monkeypatch):
    hook = dict(
        type='CheckpointHook',
        interval=1,
        save_best='auto',
        published_keys=['meta', 'state_dict'],
        _delete_=True,
    )
    runner = make_runner({'default_hooks.checkpoint': hook})
    runner.train()
    assert hook_of(runner, 'CheckpointHook').key_indicators == ['accuracy/top1']
    (best,) = folder.glob('best_accuracy_top1_epoch_1.pth')
    (published,) = folder.glob('epoch_1-*.pth')
    assert set(torch.load(published)) == {'meta', 'state_dict'}
    expected = runner.val()
    again = make_runner(load_from=str(best))
    assert again.val() == expected


@check('mmengine.DistSamplerSeedHook')
def check_sampler_seed(make_runner, folder, monkeypatch):
    runner = make_runner(train_cfg=dict(max_epochs=3))
    epochs = []
    watched(runner, before_train_iter=lambda runner: epochs.append(runner.epoch))
    runner.train()
    assert runner.train_dataloader.sampler.epoch == 2
    assert epochs == [0] * STEPS + [1] * STEPS + [2] * STEPS


def check_ema(make_runner, folder, monkeypatch, kind):
    """Against the average by hand."""
    runner = make_runner(hooks=[dict(type=kind, momentum=0.3)])
    weights = []
    watched(
        runner,
        after_train_iter=lambda runner: weights.append(
            runner.model.student.head.fc.weight.detach().clone()
        ),
    )
    runner.train()
    averaged = hook_of(runner, 'EMAHook').ema_model.module
    expected = weights[0]
    for weight in weights[1:]:
        expected = 0.7 * expected + 0.3 * weight
    torch.testing.assert_close(averaged.student.head.fc.weight, expected)
    teachers = (model.teacher.state_dict().values() for model in (runner.model, averaged))
    assert all(torch.equal(*pair) for pair in zip(*teachers, strict=True))


check('mmengine.EMAHook', kind='mmengine.EMAHook')(check_ema)
check('mmpretrain.EMAHook', kind='mmpretrain.EMAHook')(check_ema)


@check('mmengine.EarlyStoppingHook')
def check_early_stopping(make_runner, folder, monkeypatch):
    hook = dict(type='EarlyStoppingHook', monitor='accuracy/top1', patience=1, min_delta=1000)
    runner = make_runner(hooks=[hook], train_cfg=dict(max_epochs=9))
    runner.train()
    assert runner.epoch == 2


@check('mmengine.EmptyCacheHook')
def check_empty_cache(make_runner, folder, monkeypatch):
    calls = []
    monkeypatch.setattr('mmengine.hooks.empty_cache_hook.is_cuda_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'empty_cache', lambda: calls.append(1))
    make_runner(hooks=[dict(type='EmptyCacheHook')]).train()
    # After the epoch of the training, and the one of the validation.
    assert len(calls) == 2


@check('mmengine.IterTimerHook')
def check_timer(make_runner, folder, monkeypatch):
    runner = make_runner()
    runner.train()
    for mode in ('train', 'val'):
        times, _ = runner.message_hub.get_scalar(f'{mode}/time').data
        assert len(times) == STEPS


@check('mmengine.LoggerHook')
def check_logger(make_runner, folder, monkeypatch):
    hook = dict(type='LoggerHook', interval=1, _delete_=True)
    runner = make_runner({'default_hooks.logger': hook})
    runner.train()
    (log,) = folder.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    *training, validation = lines
    assert [line['step'] for line in training] == [1, 2, 3]
    for line in training:
        losses = [line[f'{part}.{name}'] for part, name in LOSSES]
        assert line['loss'] == pytest.approx(sum(losses), rel=1e-5)
    assert {'accuracy/top1', 'teacher.accuracy/top1'} <= set(validation)


LOSSES = [('student', 'loss'), ('distill', 'loss_kl'), ('distill', 'loss_boundary')]


@unsupported('mmengine.NPUProfilerHook')
def check_npu_profiler(make_runner, folder, monkeypatch):
    with pytest.raises(ImportError, match='torch_npu'):
        make_runner(hooks=[dict(type='NPUProfilerHook')])


@unsupported('mmengine.NaiveVisualizationHook')
def check_naive_visualization(make_runner, folder, monkeypatch):
    runner = make_runner(hooks=[dict(type='NaiveVisualizationHook')])
    with pytest.raises(TypeError, match='string ind'):
        runner.test()


@check('mmengine.ParamSchedulerHook')
def check_param_scheduler(make_runner, folder, monkeypatch):
    schedule = dict(type='MultiStepLR', by_epoch=True, milestones=[1], gamma=0.1)
    runner = make_runner(param_scheduler=schedule, train_cfg=dict(max_epochs=2))
    rates = []
    watched(
        runner, before_train_iter=lambda runner: rates.append(runner.optim_wrapper.get_lr()['lr'])
    )
    runner.train()
    assert [rate[0] for rate in rates] == pytest.approx([0.05] * STEPS + [0.005] * STEPS)


def with_flips():
    """Changes that make a test average an image and its mirror image."""
    flips = [dict(type='RandomFlip', prob=prob) for prob in (1.0, 0.0)]
    pipeline = [dict(type='TestTimeAug', transforms=[flips, [dict(type='mmpretrain.PackInputs')]])]
    return {'test_dataloader.dataset.pipeline': pipeline}


def averaged_accuracy(student, dataset):
    right = []
    student.eval()
    for item in dataset:
        images = (item['inputs'] - 78.0) / 96.0
        with torch.no_grad():
            logits = student(torch.stack([images, images.flip(2)]), mode='tensor')
        right.append(logits.softmax(1).mean(0).argmax() == item['data_samples'].gt_label)
    return 100 * float(np.mean(right))


@check('mmengine.PrepareTTAHook')
def check_tta(make_runner, folder, monkeypatch):
    hook = dict(type='PrepareTTAHook', tta_cfg=dict(type='mmpretrain.AverageClsScoreTTA'))
    runner = make_runner(with_flips(), hooks=[hook])
    student = runner.model.student
    nn.init.normal_(student.head.fc.weight)
    expected = averaged_accuracy(student, runner.val_dataloader.dataset)
    assert runner.test() == {'accuracy/top1': pytest.approx(expected)}
    assert isinstance(runner.model, BaseTTAModel)


@check('mmengine.ProfilerHook')
def check_profiler(make_runner, folder, monkeypatch):
    trace = folder / 'trace.json'
    hook = dict(type='ProfilerHook', by_epoch=False, profile_times=2, json_trace_path=str(trace))
    make_runner(hooks=[hook]).train()
    events = load(trace)['traceEvents']
    assert any('conv2d' in event.get('name', '') for event in events)


@check('mmengine.RuntimeInfoHook')
def check_runtime_info(make_runner, folder, monkeypatch):
    runner = make_runner()
    runner.train()
    hub = runner.message_hub
    assert (hub.get_info('iter'), hub.get_info('max_epochs')) == (STEPS - 1, 1)
    assert hub.get_scalar('train/lr').current() == 0.05
    assert len(hub.get_scalar('train/distill.loss_boundary').data[0]) == STEPS
    assert hub.get_scalar('val/accuracy/top1').current() is not None


@check('mmengine.SyncBuffersHook')
def check_sync_buffers(make_runner, folder, monkeypatch):
    """That processes get the same is in test_ddp.py; it is once an epoch."""
    calls = []
    monkeypatch.setattr(
        'mmengine.hooks.sync_buffer_hook.all_reduce_params', lambda *_, **__: calls.append(1)
    )
    runner = make_runner(hooks=[dict(type='SyncBuffersHook')], train_cfg=dict(max_epochs=2))
    hook_of(runner, 'SyncBuffersHook').distributed = True
    runner.train()
    assert len(calls) == 2


# --- Hooks of MMPretrain --------------------------------------------------------------------------


@check('mmpretrain.ClassNumCheckHook')
def check_class_numbers(make_runner, folder, monkeypatch):
    make_runner(hooks=[dict(type='ClassNumCheckHook')]).train()
    nine = {'train_dataloader.dataset.metainfo': dict(classes=tuple('012345678'))}
    with pytest.raises(AssertionError, match='num_classes'):
        make_runner(nine, hooks=[dict(type='ClassNumCheckHook')]).train()


@unsupported('mmpretrain.DenseCLHook')
def check_densecl(make_runner, folder, monkeypatch):
    with pytest.raises(AssertionError, match='loss_lambda'):
        make_runner(hooks=[dict(type='DenseCLHook')]).train()


@check('mmpretrain.PreciseBNHook')
def check_precise_bn(make_runner, folder, monkeypatch):
    """Mean over the batches of what each has, by hand at the first batch norm."""
    hook = dict(type='PreciseBNHook', num_samples=2 * 16, interval=1, priority='ABOVE_NORMAL')
    runner = make_runner(hooks=[hook], train_cfg=dict(val_interval=9))
    before = []

    def keep(runner):
        before.extend(value.clone() for value in runner.model.teacher.state_dict().values())

    watched(runner, before_train=keep).train()
    backbone = runner.model.student.backbone
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    inputs = [item['inputs'] for item in runner.train_dataloader.dataset][:32]
    with torch.no_grad():
        maps = next(iter(backbone.children()))((torch.stack(inputs) - 78.0) / 96.0)
    means = [part.mean((0, 2, 3)) for part in maps.split(16)]
    torch.testing.assert_close(norms[0].running_mean, sum(means) / 2, rtol=1e-3, atol=1e-4)
    after = runner.model.teacher.state_dict().values()
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


@unsupported('mmpretrain.PrepareProtoBeforeValLoopHook')
def check_prepare_prototypes(make_runner, folder, monkeypatch):
    runner = make_runner(hooks=[dict(type='PrepareProtoBeforeValLoopHook')])
    with pytest.warns(UserWarning, match='BaseRetriever'):
        runner.val()


@check('mmpretrain.SetAdaptiveMarginsHook')
def check_adaptive_margins(make_runner, folder, monkeypatch):
    head = dict(type='ArcFaceClsHead', num_classes=10, in_channels=64, _delete_=True)
    hook = dict(type='SetAdaptiveMarginsHook', margin_min=0.1, margin_max=0.4, power=-0.5)
    runner = make_runner({'model.architecture.head': head}, hooks=[hook])
    runner.train()
    labels = runner.train_dataloader.dataset.get_gt_labels()
    counts = np.bincount(labels, minlength=10).clip(1) ** -0.5
    share = (counts - counts.min()) / (counts.max() - counts.min())
    margins = runner.model.student.head.margins
    np.testing.assert_allclose(margins, 0.1 + 0.3 * share, rtol=1e-5)


@check('mmpretrain.SimSiamHook')
def check_fixed_rate(make_runner, folder, monkeypatch):
    hook = dict(type='SimSiamHook', fix_pred_lr=True, lr=0.02, adjust_by_epoch=False)
    schedule = dict(type='ConstantLR', by_epoch=False, factor=0.1, end=99)
    changes = {'optim_wrapper.paramwise_cfg': dict(custom_keys={'head.fc': dict(fix_lr=True)})}
    runner = make_runner(changes, hooks=[hook], param_scheduler=schedule)
    runner.train()
    head = set(runner.model.student.head.parameters())
    for group in runner.optim_wrapper.optimizer.param_groups:
        of_head = group['params'][0] in head
        assert group.get('fix_lr', False) == of_head
    # The scheduler changes it again after each step.
    runner.call_hook('before_train_iter', batch_idx=0)
    rates = {
        group['params'][0] in head: group['lr']
        for group in runner.optim_wrapper.optimizer.param_groups
    }
    assert rates == {True: 0.02, False: pytest.approx(0.005)}


@unsupported('mmpretrain.SwAVHook')
def check_swav(make_runner, folder, monkeypatch):
    with pytest.raises(AttributeError, match='head'):
        make_runner(hooks=[dict(type='SwAVHook', batch_size=16)]).train()


@check('mmpretrain.SwitchRecipeHook')
def check_switch_recipe(make_runner, folder, monkeypatch):
    recipe = dict(
        action_epoch=2,
        train_pipeline=[dict(type='RandomFlip', prob=1.0), dict(type='mmpretrain.PackInputs')],
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.3, num_classes=10),
        batch_augments=dict(augments=[dict(type='Mixup', alpha=0.8)]),
    )
    hook = dict(type='SwitchRecipeHook', schedule=[recipe])
    runner = make_runner(
        {'model.distiller.loss_forward_mappings.loss_boundary': KL, 'custom_hooks': [hook]},
        train_cfg=dict(max_epochs=2),
    )
    seen = {}

    def see(runner):
        first = runner.train_dataloader.dataset[0]
        loss = type(runner.model.student.head.loss_module).__name__
        mixed = runner.model.data_preprocessor.batch_augments is not None
        seen[runner.epoch] = (first['inputs'].clone(), loss, mixed)

    watched(runner, after_train_iter=see).train()
    assert torch.equal(seen[0][0].flip(2), seen[1][0])
    assert [seen[epoch][1:] for epoch in (0, 1)] == [
        ('CrossEntropyLoss', False),
        ('LabelSmoothLoss', True),
    ]
    # The teacher keeps its own.
    assert type(runner.model.teacher.head.loss_module).__name__ == 'CrossEntropyLoss'


KL = dict(
    preds_S=dict(recorder='logits', from_student=True),
    preds_T=dict(recorder='logits', from_student=False),
    _delete_=True,
)


@check('mmpretrain.VisualizationHook')
def check_visualization(make_runner, folder, monkeypatch):
    """Whose predictions they are is in test_validation.py."""
    hook = dict(
        type='VisualizationHook', enable=True, interval=20, out_dir=str(folder / 'pictures')
    )
    runner = make_runner(
        {'default_hooks.visualization': hook},
        visualizer=dict(type='mmpretrain.UniversalVisualizer', name='written'),
    )
    runner.val()
    assert {path.name for path in (folder / 'pictures').iterdir()} == {'0_0.png', '20_0.png'}


@check('mmpretrain.WarmupParamHook')
def check_warm_up(make_runner, folder, monkeypatch):
    for prefix in ('', 'architecture.'):
        hook = dict(
            type='WarmupParamHook',
            param_name='loss_weight',
            module_name=f'{prefix}head.loss_module',
            warmup_epochs=2,
        )
        runner, weights = make_runner(hooks=[hook], train_cfg=dict(max_epochs=2)), []
        watched(
            runner,
            before_train_iter=lambda runner, weights=weights: weights.append(
                runner.model.student.head.loss_module.loss_weight
            ),
        )
        runner.train()
        assert weights == pytest.approx([step / 6 for step in range(6)])
        assert runner.model.teacher.head.loss_module.loss_weight == 1


# --- Loops ----------------------------------------------------------------------------------------


@check('mmengine.EpochBasedTrainLoop')
def check_epochs(make_runner, folder, monkeypatch):
    runner = make_runner(train_cfg=dict(max_epochs=2))
    runner.train()
    assert (runner.epoch, runner.iter) == (2, 2 * STEPS)


@check('mmengine.IterBasedTrainLoop')
def check_iterations(make_runner, folder, monkeypatch):
    runner = make_runner(
        {'train_dataloader.sampler': dict(type='InfiniteSampler')},
        train_cfg=dict(by_epoch=False, max_iters=5, val_interval=2, _delete_=True),
    )
    validated = []
    watched(runner, after_val=lambda runner: validated.append(runner.iter))
    runner.train()
    assert runner.iter == 5 and validated == [2, 4, 5]
    assert len(runner.message_hub.get_scalar('train/distill.loss_boundary').data[0]) == 5


def accuracy_by_hand(runner):
    right = []
    runner.model.eval()
    for item in runner.val_dataloader.dataset:
        images = (item['inputs'][None] - 78.0) / 96.0
        with torch.no_grad():
            logits = runner.model.student(images, mode='tensor')
        right.append(logits.argmax() == item['data_samples'].gt_label)
    return {'accuracy/top1': pytest.approx(100 * float(np.mean(right)))}


@check('mmengine.ValLoop')
def check_validation(make_runner, folder, monkeypatch):
    runner = make_runner(val_cfg=dict(_delete_=True))
    nn.init.normal_(runner.model.student.head.fc.weight)
    assert runner.val() == accuracy_by_hand(runner)


@check('mmengine.TestLoop')
def check_test(make_runner, folder, monkeypatch):
    runner = make_runner()
    nn.init.normal_(runner.model.student.head.fc.weight)
    assert runner.test() == accuracy_by_hand(runner)


@unsupported('mmpretrain.RetrievalValLoop')
def check_retrieval_validation(make_runner, folder, monkeypatch):
    runner = make_runner(val_cfg=dict(type='RetrievalValLoop', _delete_=True))
    with pytest.raises(IndexError):
        runner.val()


@unsupported('mmpretrain.RetrievalTestLoop')
def check_retrieval_test(make_runner, folder, monkeypatch):
    runner = make_runner(test_cfg=dict(type='RetrievalTestLoop'))
    with pytest.raises(IndexError):
        runner.test()


# --- Optimizers -----------------------------------------------------------------------------------


def names_of(wrapper, model):
    """Learning rate and weight decay of each trained parameter, by its name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }


PARAMWISE = dict(
    norm_decay_mult=0.0,
    bias_decay_mult=0.0,
    flat_decay_mult=0.0,
    custom_keys={
        '.cls_token': dict(decay_mult=0.5),
        'head.layers': dict(decay_mult=3.0, lr_mult=7.0),
    },
)
WITH_CONNECTOR = dict(student=dict(type='mmrazor.ConvModuleConnector', in_channel=4, out_channel=4))


def compare_with_the_student_alone(make_runner, wrapper):
    """A recipe of a plain classifier means the same in a distillation."""
    changes = {
        'model.architecture': vision_transformer(),
        'model.distiller.connectors': WITH_CONNECTOR,
        'optim_wrapper': dict(**wrapper, _delete_=True),
    }
    model = make_runner(changes).model
    built = {
        part: names_of(build_optim_wrapper(network, deepcopy(wrapper)), network)
        for part, network in (('student', model.student), ('both', model))
    }
    inside = {
        name.replace('architecture.', '', 1): setting
        for name, setting in built['both'].items()
        if name.startswith('architecture.')
    }
    assert inside == built['student']
    assert not any(name.startswith('teacher.') for name in built['both'])
    others = {name: setting for name, setting in built['both'].items() if 'connectors' in name}
    assert others and len(others) + len(inside) == len(built['both'])
    return inside, others


@check('mmengine.DefaultOptimWrapperConstructor')
def check_default_constructor(make_runner, folder, monkeypatch):
    wrapper = dict(optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.1), paramwise_cfg=PARAMWISE)
    student, _ = compare_with_the_student_alone(make_runner, wrapper)
    expected = dict(zip(('lr', 'weight_decay'), student['backbone.cls_token'], strict=True))
    assert expected == pytest.approx(dict(lr=0.01, weight_decay=0.05))
    assert student['head.layers.head.weight'] == pytest.approx((0.07, 0.3))
    assert student['backbone.ln1.weight'] == pytest.approx((0.01, 0.0))
    assert student['backbone.patch_embed.projection.weight'] == pytest.approx((0.01, 0.1))


@check('mmpretrain.LearningRateDecayOptimWrapperConstructor')
def check_layer_decay(make_runner, folder, monkeypatch):
    keys = {'.cls_token': dict(decay_mult=0.5)}
    wrapper = dict(
        optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.1),
        constructor='LearningRateDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=0.5, flat_decay_mult=0.0, custom_keys=keys),
    )
    student, connectors = compare_with_the_student_alone(make_runner, wrapper)
    # Patches, three layers and the head: the last one is not slowed down.
    for name, depth in (
        ('backbone.patch_embed.projection.weight', 0),
        ('backbone.layers.0.attn.qkv.weight', 1),
        ('backbone.layers.2.attn.qkv.weight', 3),
        ('head.layers.head.weight', 4),
    ):
        assert student[name] == pytest.approx((0.01 * 0.5 ** (4 - depth), 0.1)), name
    assert all(rate == pytest.approx(0.01) for rate, _ in connectors.values())
    runner = make_runner(
        {
            'model.architecture': vision_transformer(),
            'optim_wrapper': dict(**wrapper, _delete_=True),
        }
    )
    runner.train()
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())


def check_optimizer(make_runner, folder, monkeypatch, kind):
    """Trains the student and leaves the teacher alone, in spite of weight decay."""
    optimizer = dict(type=kind, lr=0.01, weight_decay=0.5)
    runner = make_runner({'optim_wrapper.optimizer': dict(**optimizer, _delete_=True)})
    states = {}

    def keep(runner):
        states.update({name: deepcopy(getattr(runner.model, name).state_dict()) for name in PARTS})

    watched(runner, before_train=keep).train()
    for name in PARTS:
        after = getattr(runner.model, name).state_dict()
        unchanged = [torch.equal(states[name][key], after[key]) for key in after]
        assert all(unchanged) if name == 'teacher' else not any(unchanged)


PARTS = ('student', 'teacher')
for optimizer in ('Adan', 'LARS', 'Lamb'):
    check(f'mmpretrain.{optimizer}', kind=optimizer)(check_optimizer)


# --- More about optimizers ------------------------------------------------------------------------


def test_layer_decay_of_a_trained_teacher(make_runner):
    """Each network's layers count for themselves."""
    model = make_runner(
        {
            'model.teacher_trainable': True,
            'model.teacher_ckpt': None,
            'model.architecture': vision_transformer(),
            'model.teacher': vision_transformer(32),
        }
    ).model
    for part in PARTS:
        network = getattr(model, part)
        inside = 'architecture' if part == 'student' else part
        for name, _ in network.named_parameters():
            assert model.get_layer_depth(f'{inside}.{name}') == network.get_layer_depth(name)


def test_layer_decay_without_layers_says_what_to_do(make_runner):
    pytest.importorskip('timm')
    student = dict(
        type='mmpretrain.TimmClassifier',
        model_name='resnet10t',
        num_classes=10,
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
        _delete_=True,
    )
    wrapper = dict(
        optimizer=dict(type='SGD', lr=0.1, weight_decay=0.1),
        constructor='LearningRateDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=0.5),
    )
    model = make_runner({'model.architecture': student}).model
    with pytest.raises(NotImplementedError, match=r'`optim_wrapper.constructor`: TimmClassifier'):
        build_optim_wrapper(model, wrapper)


def lines_of(function, caplog):
    with caplog.at_level(logging.DEBUG):
        function()
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize('kind', ['AMKD', 'SingleTeacherDistill'])
@pytest.mark.parametrize('bypass_duplicate', [False, True])
def test_a_frozen_teacher_is_one_line(make_runner, monkeypatch, kind, bypass_duplicate):
    model = make_runner().model
    if kind == 'SingleTeacherDistill':
        model.__class__ = SingleTeacherDistill
    lines = []
    monkeypatch.setattr(
        'mmengine.optim.optimizer.default_constructor.print_log',
        lambda text, **_: lines.append(text),
    )
    monkeypatch.setattr('amkd_mm.compat.engine.print_log', lambda text, **_: lines.append(text))
    # The student's first layer is frozen, too, and the rest of it is not.
    first = 'architecture.backbone.conv1'
    model.get_submodule(first).requires_grad_(False)
    wrapper = dict(
        optimizer=dict(type='SGD', lr=0.1, weight_decay=0.1),
        paramwise_cfg=dict(norm_decay_mult=0.0, bypass_duplicate=bypass_duplicate),
    )
    built = build_optim_wrapper(model, wrapper)
    number = len(list(model.teacher.parameters()))
    assert [line for line in lines if 'paramwise_options' not in line] == [
        f'{first} is not optimised: 1 frozen parameters',
        f'teacher is not optimised: {number} frozen parameters',
    ]
    trained = {name for name, one in model.named_parameters() if one.requires_grad}
    assert set(names_of(built, model)) == trained


def test_separate_optimizers_of_parts(make_runner):
    """MMRazor's constructor: names begin in the part, as a plain classifier's."""
    wrapper = dict(
        constructor='mmrazor.SeparateOptimWrapperConstructor',
        architecture=dict(
            optimizer=dict(type='SGD', lr=0.1, weight_decay=0.1),
            paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=2.0)}),
        ),
    )
    model = make_runner().model
    built = build_optim_wrapper(model, wrapper)['architecture']
    rates = {name: rate for name, (rate, _) in names_of(built, model.student).items()}
    assert rates == {
        name: pytest.approx(0.2 if name.startswith('head') else 0.1)
        for name, _ in model.student.named_parameters()
    }
