"""Loading the teacher: either the whole teacher, or an error that helps."""

import copy

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch.utils.data import DataLoader

from amkd_mm.teachers.checkpoint import (
    check_exists,
    load_teacher,
    recorded_preprocessor,
)
from networks import classifier


def amkd(**changes):
    model = dict(
        _scope_='mmrazor',
        type='AMKD',
        architecture=classifier(),
        teacher=classifier(),
        distiller=dict(type='ConfigurableDistiller'),
    )
    return MODELS.build(model | changes)


@pytest.fixture
def teacher():
    """A teacher whose every number is its own, batch norm statistics included."""
    network = MODELS.build(classifier())
    with torch.no_grad():
        for value in network.state_dict().values():
            value.copy_(torch.rand_like(value.float()) * 100 + 1)
    return network


@pytest.fixture
def save(tmp_path):
    def save(checkpoint):
        path = tmp_path / 'teacher.pth'
        torch.save(checkpoint, path)
        return str(path)

    return save


def assert_equal_weights(found, expected):
    expected = expected if isinstance(expected, dict) else expected.state_dict()
    assert found.state_dict().keys() == expected.keys()
    for key, value in found.state_dict().items():
        assert torch.equal(value, expected[key]), key


def error_of(path, strict=True, **kwargs):
    with pytest.raises(ValueError) as error:
        amkd(teacher_ckpt=path, teacher_ckpt_strict=strict, **kwargs)
    message = str(error.value)
    assert message.startswith(f'model.teacher_ckpt: {path!r} does not fit the teacher')
    return message


# --- Existence ----------------------------------------------------------------------------------


def test_missing_file_is_found_before_anything_is_built():
    with pytest.raises(FileNotFoundError, match=r"model.teacher_ckpt: 'no/teacher.pth' does not"):
        amkd(teacher_ckpt='no/teacher.pth', architecture=dict(type='NoSuchNetwork'))
    with pytest.raises(FileNotFoundError, match="model.teacher_ckpt: 'no/teacher.pth'"):
        load_teacher(torch.nn.Linear(1, 1), 'no/teacher.pth')


def test_a_file_that_is_not_what_its_hash_says(tmp_path):
    path = tmp_path / 'teacher-0123456a.pth'
    path.write_bytes(b'')
    with pytest.raises(ValueError, match='its SHA-256 begins with e3b0c442, but its name says'):
        amkd(teacher_ckpt=str(path))


def test_folder_is_not_a_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match='model.teacher_ckpt'):
        check_exists(str(tmp_path))


@pytest.mark.parametrize('prefix', ['https://example.com/', 'open-mmlab://', 's3://bucket/'])
def test_remote_files_are_not_looked_for(prefix):
    check_exists(f'{prefix}teacher.pth')


def test_home_folder(tmp_path, monkeypatch, teacher, save):
    save(teacher.state_dict())
    monkeypatch.setenv('HOME', str(tmp_path))
    assert_equal_weights(amkd(teacher_ckpt='~/teacher.pth').teacher, teacher)


# --- What fits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'wrap',
    [
        lambda weights: weights,
        lambda weights: dict(state_dict=weights, meta=dict(epoch=3)),
        lambda weights: {f'module.{key}': value for key, value in weights.items()},
    ],
)
@pytest.mark.parametrize('built', [False, True])
def test_every_weight_is_loaded_and_stays(wrap, built, teacher, save):
    path = save(wrap(teacher.state_dict()))
    network = MODELS.build(classifier()) if built else classifier()
    model = amkd(teacher=network, teacher_ckpt=path)
    assert_equal_weights(model.teacher, teacher)
    before = copy.deepcopy(model.student.state_dict())
    # As a Runner does before training.
    model.init_weights()
    assert_equal_weights(model.teacher, teacher)
    key = 'backbone.conv1.weight'
    assert not torch.equal(model.student.state_dict()[key], before[key])


def test_checkpoint_of_a_runner(tmp_path):
    """With all that a Runner stores, its message hub and optimiser included."""
    image = torch.arange(192, dtype=torch.uint8).view(3, 8, 8)
    data = [dict(inputs=image, data_samples=DataSample().set_gt_label(i % 4)) for i in range(4)]
    network = {**classifier(), 'data_preprocessor': dict(mean=[100.0] * 3, std=[50.0] * 3)}
    # A Runner leaves its default scope behind.
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        runner = Runner(
            model=network,
            work_dir=str(tmp_path),
            default_scope='mmpretrain',
            experiment_name=tmp_path.name,
            train_dataloader=DataLoader(data, batch_size=2, collate_fn=pseudo_collate),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        )
        runner.train()
    expected = copy.deepcopy(runner.model.state_dict())
    model = amkd(teacher=network, teacher_ckpt=str(tmp_path / 'epoch_1.pth'))
    model.init_weights()
    assert_equal_weights(model.teacher, expected)


def test_teacher_from_a_config_of_mmpretrain(save):
    config = dict(cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py', pretrained=False)
    network = MODELS.build(config)
    path = save(network.state_dict())
    model = amkd(teacher=config, teacher_ckpt=path, architecture=classifier(num_classes=10))
    assert_equal_weights(model.teacher, network)
    inputs = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        # The images are not normalised, and the teacher's are.
        normalized = network.data_preprocessor(dict(inputs=inputs), False)['inputs']
        expected = network.eval()(normalized, mode='tensor')
        torch.testing.assert_close(model.eval().teacher(inputs, mode='tensor'), expected)


def test_backbone_that_adapts_the_checkpoint(save):
    """A vision transformer resizes position embeddings while it loads them."""

    def transformer(img_size):
        arch = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16)
        backbone = dict(type='VisionTransformer', arch=arch, img_size=img_size, patch_size=4)
        head = dict(type='VisionTransformerClsHead', num_classes=4, in_channels=16)
        return dict(_scope_='mmpretrain', type='ImageClassifier', backbone=backbone, head=head)

    small = MODELS.build(transformer(8))
    small.init_weights()
    model = amkd(teacher=transformer(16), teacher_ckpt=save(small.state_dict()))
    weights, expected = model.teacher.state_dict(), small.state_dict()
    assert weights['backbone.pos_embed'].size(1) == 17
    assert torch.equal(weights['backbone.pos_embed'][:, 0], expected['backbone.pos_embed'][:, 0])
    assert torch.equal(weights['head.layers.head.weight'], expected['head.layers.head.weight'])


# --- What does not ------------------------------------------------------------------------------


@pytest.mark.parametrize('strict', [True, False])
def test_no_key_matches(strict, teacher, save):
    path = save({f'net.{key}': value for key, value in teacher.state_dict().items()})
    message = error_of(path, strict)
    assert "['backbone.conv1.weight', 'backbone.bn1.weight'" in message
    assert "44 others are unexpected ['net.backbone.conv1.weight'" in message
    # It would not help.
    assert 'teacher_ckpt_strict' not in message


@pytest.mark.parametrize('strict', [True, False])
def test_a_file_of_something_else(strict, save):
    assert "unexpected ['model', 'args']" in error_of(save(dict(model={}, args=1)), strict)
    error_of(save({}), strict)


def test_some_keys_are_missing(teacher, save):
    weights = teacher.state_dict()
    for key in ('head.fc.weight', 'head.fc.bias'):
        del weights[key]
    path = save(weights)
    message = error_of(path)
    assert "of its 44 keys 2 are missing ['head.fc.weight', 'head.fc.bias']" in message
    assert '0 others are unexpected []' in message
    assert '`model.teacher_ckpt_strict=False`' in message

    model = amkd(teacher_ckpt=path, teacher_ckpt_strict=False)
    for key, value in weights.items():
        assert torch.equal(model.teacher.state_dict()[key], value)


def test_some_keys_are_unexpected(teacher, save):
    weights = {**teacher.state_dict(), 'auxiliary.weight': torch.zeros(1)}
    message = error_of(save(weights))
    assert "0 are missing [], and 1 others are unexpected ['auxiliary.weight']" in message
    assert_equal_weights(
        amkd(teacher_ckpt=save(weights), teacher_ckpt_strict=False).teacher, teacher
    )


def test_another_depth(teacher, save):
    message = error_of(save(teacher.state_dict()), teacher=classifier(depth=14))
    assert "'backbone.layer1.1.conv1.weight'" in message
    # Five of either kind, not hundreds.
    assert message.count('.layer') <= 5


@pytest.mark.parametrize('strict', [True, False])
def test_another_shape(strict, teacher, save):
    message = error_of(
        save(teacher.state_dict()),
        strict,
        teacher=classifier(num_classes=9),
        architecture=classifier(num_classes=9),
    )
    assert 'size mismatch for head.fc.weight' in message


# --- Normalisation --------------------------------------------------------------------------------


RECORDED = """
model = dict(
    data_preprocessor=dict(mean=[1.0], std=[2.0]),
    teacher=dict(data_preprocessor=dict(mean=[3.0], std=[4.0])),
    architecture=dict(data_preprocessor=dict(mean=[5.0], std=[6.0])))
"""


def mean_for(part, text=RECORDED):
    found = recorded_preprocessor(dict(meta=dict(cfg=text)), part)
    return found and found['mean']


def test_a_student_that_teaches_was_trained_on_the_images_of_its_distillation():
    assert mean_for('architecture.') == mean_for('') == [1.0]
    assert mean_for('architecture.', RECORDED.replace('model = dict(\n    data_', 'a = (')) is None
    own = RECORDED.replace('data_preprocessor=dict(mean=[1.0], std=[2.0]),', '')
    assert mean_for('architecture.', own) == [5.0]
    # As the Runner does.
    assert mean_for('architecture.', own + 'data_preprocessor = dict(mean=[7.0])') == [7.0]


def test_the_teacher_in_a_distillation_was_trained_on_its_own():
    assert mean_for('teacher.') == [3.0]
    assert mean_for('teacher.', 'model = dict(data_preprocessor=dict(mean=[1.0]))') is None


@pytest.mark.parametrize('place', ['teacher', 'backbone'])
def test_the_file_of_an_init_cfg_says_how_images_were_normalised(place, save):
    config = classifier()
    weights = MODELS.build(classifier()).state_dict()
    recorded = 'data_preprocessor = dict(mean=[3.0, 4.0, 5.0], std=[2.0, 2.0, 2.0])'
    path = save(dict(state_dict=weights, meta=dict(cfg=recorded)))
    init_cfg = dict(type='Pretrained', checkpoint=path)
    if place == 'backbone':
        config['backbone']['init_cfg'] = dict(init_cfg, prefix='backbone.')
    else:
        config['init_cfg'] = init_cfg
    model = amkd(teacher=config)
    assert model.input_adapters[''].source == 'checkpoint'
    images = torch.rand(2, 3, 4, 4) * 255
    expected = (images - torch.tensor([3.0, 4.0, 5.0]).view(3, 1, 1)) / 2
    torch.testing.assert_close(model.input_adapters[''](images), expected)


def test_a_missing_file_of_an_init_cfg_is_named():
    pretrained = dict(type='Pretrained', checkpoint='gone.pth')
    with pytest.raises(FileNotFoundError, match='model.teacher.init_cfg.checkpoint: no such file'):
        amkd(teacher=dict(classifier(), init_cfg=pretrained))
