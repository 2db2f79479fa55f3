"""Every kind of checkpoint at every place: it goes where it belongs, or is refused."""

import logging
from copy import deepcopy

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, load_checkpoint
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch.utils.data import DataLoader

from amkd_mm.checkpoints.fit import choose
from networks import classifier


@pytest.fixture(autouse=True)
def default_scope():
    with DefaultScope.overwrite_default_scope('mmrazor'):
        yield


def distillation(kind='AMKD', student=8, teacher=14, **changes):
    model = dict(
        _scope_='mmrazor',
        type=kind,
        architecture=classifier(student),
        teacher=classifier(teacher),
        distiller=dict(type='ConfigurableDistiller'),
    )
    return {**model, **changes}


def random_weights(config, seed):
    """A state dict in which every number is its own, batch norm statistics included."""
    generator = torch.Generator().manual_seed(seed)
    weights = MODELS.build(deepcopy(config)).state_dict()
    for value in weights.values():
        value.copy_(torch.rand(value.shape, generator=generator) * 100 + 1)
    return weights


STUDENT = random_weights(classifier(8), seed=1)
TEACHER = random_weights(classifier(14), seed=2)
FILES = dict(
    student=STUDENT,
    teacher=TEACHER,
    distillation={
        **{f'architecture.{key}': value for key, value in STUDENT.items()},
        **{f'teacher.{key}': value for key, value in TEACHER.items()},
    },
)
FORMS = {
    'plain': lambda weights: weights,
    'checkpoint': lambda weights: dict(state_dict=weights, meta=dict(epoch=1)),
    'parallel': lambda weights: dict(
        state_dict={f'module.{key}': value for key, value in weights.items()}
    ),
}


@pytest.fixture(params=FORMS)
def save(request, tmp_path):
    def save(name):
        path = tmp_path / f'{name}.pth'
        torch.save(FORMS[request.param](FILES[name]), path)
        return str(path)

    save.__name__ = request.param
    return save


def assert_weights(network, expected):
    found = network.state_dict()
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


def counted(weights):
    """Names of weights without the counters of batch norm."""
    return [name for name in weights if not name.endswith('num_batches_tracked')]


def differ(network, expected):
    return any(not torch.equal(network.state_dict()[key], expected[key]) for key in expected)


def runner_of(model, tmp_path, epochs=1, hooks=(), **settings):
    """A Runner that trains on eight images without changing a weight."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 8, 8), generator=generator, dtype=torch.uint8)
    data = [
        dict(inputs=image, data_samples=DataSample().set_gt_label(i % 4))
        for i, image in enumerate(images)
    ]
    return Runner(
        model=deepcopy(model),
        work_dir=str(tmp_path / 'run'),
        default_scope='mmrazor',
        experiment_name=f'{tmp_path.name}_{len(list(tmp_path.iterdir()))}_{id(settings)}',
        train_dataloader=DataLoader(data, batch_size=4, collate_fn=pseudo_collate),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        custom_hooks=list(hooks),
        **settings,
    )


def loaded(model, path, tmp_path, **settings):
    """The model of a Runner once it has read ``load_from``, and the Runner's log."""
    runner = runner_of(model, tmp_path, load_from=path, **settings)
    runner.load_or_resume()
    return runner.model, log_of(runner)


def log_of(runner):
    for handler in logging.getLogger().handlers + runner.logger.handlers:
        handler.flush()
    return open(f'{runner.log_dir}/{runner.timestamp}.log').read()


# --- load_from ------------------------------------------------------------------------------------


@pytest.mark.parametrize('kind', ['AMKD', 'SingleTeacherDistill'])
def test_a_students_own_weights_go_into_the_student(kind, save, tmp_path):
    model, log = loaded(distillation(kind), save('student'), tmp_path)
    assert_weights(model.student, STUDENT)
    assert 'its weights go into the student, `model.architecture`' in log
    assert 'do not match exactly' not in log and 'were loaded' not in log


@pytest.mark.parametrize('kind', ['AMKD', 'SingleTeacherDistill'])
def test_a_distillation_continues_with_both_networks(kind, save, tmp_path):
    model, log = loaded(distillation(kind), save('distillation'), tmp_path)
    assert_weights(model.student, STUDENT)
    assert_weights(model.teacher, TEACHER)
    assert 'Checkpoint:' not in log


def test_a_teacher_as_load_from_is_refused_and_named(save, tmp_path):
    with pytest.raises(ValueError, match='does not fit the student') as error:
        loaded(distillation(), save('teacher'), tmp_path)
    assert 'give their file as `model.teacher_ckpt`' in str(error.value)


def test_of_a_distillation_by_another_teacher_the_student_is_taken(save, tmp_path):
    other = tmp_path / 'other.pth'
    expected = random_weights(classifier(20), seed=3)
    torch.save(expected, other)
    model = distillation(teacher=20, teacher_ckpt=str(other))
    model, log = loaded(model, save('distillation'), tmp_path)
    assert_weights(model.student, STUDENT)
    if torch.__version__ < (2, 0):
        # It sets counters of batch norm that a file lacks to 0, which change no output.
        for name, value in model.teacher.state_dict().items():
            if name.endswith('num_batches_tracked'):
                expected[name] = value
    assert_weights(model.teacher, expected)
    assert 'by another teacher: only its student is taken' in log


def test_a_teacher_that_is_replaced_is_told(tmp_path):
    for name in ('teacher', 'distillation'):
        torch.save(FILES[name], tmp_path / f'{name}.pth')
    same = distillation(teacher_ckpt=str(tmp_path / 'teacher.pth'))
    torch.save(random_weights(classifier(14), seed=5), tmp_path / 'newer.pth')
    newer = distillation(teacher_ckpt=str(tmp_path / 'newer.pth'))
    for model, told in ((same, False), (newer, True)):
        found, log = loaded(model, str(tmp_path / 'distillation.pth'), tmp_path)
        assert_weights(found.teacher, TEACHER)
        assert ('has other weights than `model.teacher_ckpt`' in log) is told


@pytest.mark.parametrize(
    'name, depth, expected', [('student', 8, STUDENT), ('distillation', 8, STUDENT)]
)
def test_a_classifier_takes_the_student(name, depth, expected, save, tmp_path):
    model, log = loaded(classifier(depth), save(name), tmp_path)
    assert_weights(model, expected)
    assert ('the student is taken' in log) is (name == 'distillation')


def test_a_classifier_like_the_teacher_takes_the_teacher(save, tmp_path):
    model, log = loaded(classifier(14), save('distillation'), tmp_path)
    assert_weights(model, TEACHER)
    assert 'the teacher is taken' in log


@pytest.mark.parametrize('name', FILES)
def test_another_student_is_refused(name, save, tmp_path):
    """Of a shallower or deeper network of the family most names and shapes are alike."""
    with pytest.raises(ValueError, match='does not fit the student') as error:
        loaded(distillation(student=20, teacher=26), save(name), tmp_path)
    count = len(counted(random_weights(classifier(20), seed=0)))
    assert f'of its {count} weights, [backbone.conv1.weight,' in str(error.value)


def test_another_network_alone_begins_with_what_fits(save, tmp_path):
    """A shallower one's layers are a beginning, as in MMEngine; nothing is none."""
    model, log = loaded(classifier(20), save('teacher'), tmp_path)
    found = model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in TEACHER.items())
    assert f'{len(counted(TEACHER))} of the {len(counted(found))} weights of the model' in log
    other = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='LeNet5', num_classes=4),
        head=dict(type='ClsHead'),
    )
    with pytest.raises(ValueError, match='does not fit the model'):
        loaded(other, save('teacher'), tmp_path)


def timm_classifier(name='resnet10t'):
    return dict(_scope_='mmpretrain', type='TimmClassifier', model_name=name, num_classes=4)


def test_a_distillation_by_a_network_of_timm_loads_all_of_it(tmp_path):
    """MMPretrain gives such a network other names alone than within a model."""
    pytest.importorskip('timm')
    connectors = dict(embedding=dict(type='TorchNNConnector', module_name='Linear'))
    connectors['embedding']['module_args'] = dict(in_features=64, out_features=512)
    distiller = dict(type='ConfigurableDistiller', connectors=connectors)
    model = dict(distillation(), teacher=timm_classifier(), distiller=distiller)
    weights = random_weights(model, seed=6)
    torch.save(weights, tmp_path / 'all.pth')
    found, log = loaded(model, str(tmp_path / 'all.pth'), tmp_path)
    assert_weights(found, weights)
    assert 'Checkpoint:' not in log
    assert any(name.startswith('distiller.') for name in weights)


def test_a_network_of_timm_alone(tmp_path):
    pytest.importorskip('timm')
    weights = random_weights(timm_classifier(), seed=7)
    torch.save(weights, tmp_path / 'right.pth')
    found, log = loaded(timm_classifier(), str(tmp_path / 'right.pth'), tmp_path)
    assert_weights(found, weights)
    assert 'Checkpoint:' not in log
    torch.save({f'net.{name}': value for name, value in weights.items()}, tmp_path / 'wrong.pth')
    with pytest.raises(ValueError, match='does not fit the model'):
        loaded(timm_classifier(), str(tmp_path / 'wrong.pth'), tmp_path)


def test_a_head_of_other_classes_stays_out(save, tmp_path):
    model = dict(distillation(), architecture=classifier(8, 9), teacher=classifier(14, 9))
    model, log = loaded(model, save('student'), tmp_path)
    weights = {key: value for key, value in STUDENT.items() if not key.startswith('head')}
    found = model.student.state_dict()
    assert all(torch.equal(found[key], value) for key, value in weights.items())
    assert '35 of the 37 weights of the student' in log
    assert '[architecture.head.fc.weight, architecture.head.fc.bias]: they stay' in log


def test_a_backbone_that_resizes_its_weights_is_no_misfit(tmp_path):
    def transformer(img_size):
        arch = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16)
        backbone = dict(type='VisionTransformer', arch=arch, img_size=img_size, patch_size=4)
        head = dict(type='VisionTransformerClsHead', num_classes=4, in_channels=16)
        return dict(_scope_='mmpretrain', type='ImageClassifier', backbone=backbone, head=head)

    weights = random_weights(transformer(8), seed=4)
    torch.save(weights, tmp_path / 'small.pth')
    model = dict(distillation(), architecture=transformer(16))
    model, log = loaded(model, str(tmp_path / 'small.pth'), tmp_path)
    assert model.student.state_dict()['backbone.pos_embed'].size(1) == 17
    assert 'were loaded' not in log


@pytest.mark.parametrize('wrong', [dict(model={}, args=1), {}, dict(a=torch.zeros(2))])
def test_something_else_is_refused(wrong, tmp_path):
    torch.save(wrong, tmp_path / 'wrong.pth')
    for model in (classifier(), distillation()):
        with pytest.raises(ValueError, match='does not fit'):
            loaded(model, str(tmp_path / 'wrong.pth'), tmp_path)


def test_averaged_weights_begin_from_the_same(save, tmp_path):
    """EMAHook loads what ``load_from`` holds by itself, before the model does."""
    ema = dict(type='mmengine.EMAHook')
    runner = runner_of(distillation(), tmp_path, hooks=[ema], load_from=save('student'))
    runner.call_hook('before_run')
    runner.load_or_resume()
    (hook,) = [hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook']
    assert isinstance(hook.ema_model, ExponentialMovingAverage)
    assert_weights(hook.ema_model.module.student, STUDENT)


# --- init_cfg -------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['student', 'distillation'])
def test_init_cfg_of_a_student(name, save):
    pretrained = dict(type='Pretrained', checkpoint=save(name))
    model = MODELS.build(dict(distillation(), architecture=classifier(init_cfg=pretrained)))
    model.init_weights()
    assert_weights(model.student, STUDENT)
    assert differ(model.teacher, TEACHER)


@pytest.mark.parametrize('name', ['teacher', 'distillation'])
def test_init_cfg_of_a_teacher(name, save):
    pretrained = dict(type='Pretrained', checkpoint=save(name))
    model = MODELS.build(dict(distillation(), teacher=classifier(14, init_cfg=pretrained)))
    model.init_weights()
    assert_weights(model.teacher, TEACHER)


def test_init_cfg_that_needs_a_prefix_says_which(save):
    network = classifier()
    network['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=save('student'))
    model = MODELS.build(dict(distillation(), architecture=network))
    with pytest.raises(ValueError, match=r"set `prefix='backbone.'` in the `init_cfg`"):
        model.init_weights()
    wrapped = 'module.' if save.__name__ == 'parallel' else ''
    network['backbone']['init_cfg']['prefix'] = f'{wrapped}backbone.'
    model = MODELS.build(dict(distillation(), architecture=network))
    model.init_weights()
    found = model.student.state_dict()
    names = [name for name in STUDENT if name.startswith('backbone.')]
    assert len(names) == 42 and all(torch.equal(found[name], STUDENT[name]) for name in names)


# --- teacher_ckpt ---------------------------------------------------------------------------------


@pytest.mark.parametrize('kind', ['AMKD', 'SingleTeacherDistill'])
def test_the_student_of_one_distillation_teaches_the_next(kind, save, tmp_path):
    path = save('distillation')
    model = MODELS.build(distillation(kind, teacher=8, teacher_ckpt=path))
    assert_weights(model.teacher, STUDENT)
    # Where the student does not fit, the teacher may.
    model = MODELS.build(distillation(kind, teacher_ckpt=path))
    assert_weights(model.teacher, TEACHER)


@pytest.mark.parametrize('kind', ['AMKD', 'SingleTeacherDistill'])
def test_a_teacher_that_fits_nowhere(kind, save):
    with pytest.raises(ValueError, match='does not fit the (teacher|model)'):
        MODELS.build(distillation(kind, teacher=20, teacher_ckpt=save('distillation')))


# --- resume ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', FILES)
def test_weights_are_no_training_to_resume(name, save, tmp_path):
    runner = runner_of(distillation(), tmp_path, load_from=save(name), resume=True)
    with pytest.raises(ValueError, match='cannot be resumed: it lacks .*`load_from` instead'):
        runner.load_or_resume()


@pytest.mark.parametrize('first, second', [(0, 1), (1, 0)])
def test_the_training_of_something_else_is_not_resumed(first, second, tmp_path):
    models = [classifier(), distillation()]
    runner_of(models[first], tmp_path).train()
    path = str(tmp_path / 'run' / 'epoch_1.pth')
    runner = runner_of(models[second], tmp_path, epochs=2, load_from=path, resume=True)
    with pytest.raises(ValueError, match='cannot be resumed: it is the state of a training'):
        runner.load_or_resume()
    # Its weights are welcome.
    expected = torch.load(path)['state_dict']
    found, _ = loaded(models[second], path, tmp_path)
    found, expected = (
        choose(weights, MODELS.build(classifier())).weights
        for weights in (found.state_dict(), expected)
    )
    assert all(torch.equal(found[key], expected[key]) for key in STUDENT)


def test_a_training_resumes_with_its_averages(tmp_path):
    hooks = [dict(type='mmengine.EMAHook', momentum=0.5)]
    runner_of(distillation(), tmp_path, hooks=hooks).train()
    path = str(tmp_path / 'run' / 'epoch_1.pth')
    runner = runner_of(distillation(), tmp_path, epochs=2, hooks=hooks, resume=True)
    runner.call_hook('before_run')
    runner.load_or_resume()
    saved = torch.load(path)
    (hook,) = [hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook']
    # What is saved as the model's are the averages, and the other way round.
    for name, value in hook.ema_model.module.state_dict().items():
        assert torch.equal(value, saved['state_dict'][name]), name
    for name, value in runner.model.state_dict().items():
        assert torch.equal(value, saved['ema_state_dict'][f'module.{name}']), name


# --- Other users of MMEngine's loader -------------------------------------------------------------


def test_strict_loading_stays_strict(tmp_path):
    weights = {key: value for key, value in STUDENT.items() if key != 'head.fc.bias'}
    torch.save(weights, tmp_path / 'weights.pth')
    with pytest.raises(RuntimeError, match='head.fc.bias'):
        load_checkpoint(MODELS.build(classifier()), str(tmp_path / 'weights.pth'), strict=True)


@pytest.mark.parametrize('place', ['load_from', 'init_cfg'])
def test_a_diverged_network_is_refused(place, tmp_path):
    weights = {name: value.clone() for name, value in STUDENT.items()}
    weights['head.fc.bias'][1] = float('nan')
    path = str(tmp_path / 'diverged.pth')
    torch.save(weights, path)
    with pytest.raises(ValueError, match=r"fc.bias' has 1 values of 4 that are NaN"):
        if place == 'load_from':
            loaded(distillation(), path, tmp_path)
        else:
            init_cfg = dict(type='Pretrained', checkpoint=path)
            MODELS.build(classifier(init_cfg=init_cfg)).init_weights()
