"""A class number means the same class to data, teacher, student and exported model."""

import logging
import types
from functools import partial
from pathlib import Path

from amkd_mm import compat

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from mmrazor.utils import register_all_modules

from amkd_mm.hooks.class_check_hook import ClassCheckHook
from networks import classifier

FLOWERS = ['daisy', 'rose', 'tulip']
KD = Config.fromfile(Path(__file__).resolve().parents[2] / 'configs/_base_/distillers/kd.py').model
network = partial(classifier, num_classes=3)
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


@pytest.fixture
def folders(tmp_path):
    """Writes images in folders of their classes, and gives the config of their data set."""

    def write(split, names, **settings):
        for index, name in enumerate(names):
            for number in range(2):
                image = np.full((8, 8, 3), 20 * index + number, np.uint8)
                mmcv.imwrite(image, str(tmp_path / split / name / f'{number}.png'))
        root = dict(data_root=str(tmp_path), data_prefix=split)
        return dict(type='CustomDataset', **root, pipeline=PIPELINE, **settings)

    return write


@pytest.fixture
def annotated(folders, tmp_path):
    """The same, with the labels of an annotation file."""

    def write(split, labels, **settings):
        dataset = folders(split, labels)
        lines = [f'{name}/{i}.png {label}' for name, label in labels.items() for i in range(2)]
        (tmp_path / f'{split}.txt').write_text('\n'.join(lines))
        return dict(dataset, ann_file=f'{split}.txt', **settings)

    return write


@pytest.fixture
def teacher(tmp_path):
    """Saves a teacher that says which classes it knows, or one that does not."""

    def save(classes=None, old=False):
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(network())
        meta = dict(CLASSES=classes) if old else dict(dataset_meta=dict(classes=classes))
        meta = meta if classes else dict()
        torch.save(dict(meta=meta, state_dict=model.state_dict()), tmp_path / 'teacher.pth')
        return str(tmp_path / 'teacher.pth')

    return save


@pytest.fixture
def train(tmp_path):
    """Trains for two steps, and gives the log's warnings."""

    def train(data, val=None, checkpoint=None, model=None, run='train', **settings):
        register_all_modules(False)

        def loader(dataset):
            return dict(
                dataset=dataset,
                batch_size=4,
                sampler=dict(type='DefaultSampler', shuffle=False),
                collate_fn=dict(type='default_collate'),
            )

        if val is not None:
            settings |= dict(
                val_dataloader=loader(val), val_evaluator=dict(type='Accuracy'), val_cfg=dict()
            )
        if run == 'test':
            settings |= dict(
                test_dataloader=loader(data), test_evaluator=dict(type='Accuracy'), test_cfg=dict()
            )
        if model is None:
            model = dict(
                KD,
                architecture=network(),
                teacher=network(),
                teacher_ckpt=checkpoint,
                data_preprocessor=dict(mean=[80.0] * 3, std=[60.0] * 3),
            )
        runner = Runner(
            model=model,
            work_dir=str(tmp_path / 'run'),
            train_dataloader=loader(data),
            train_cfg=dict(by_epoch=True, max_epochs=1, val_interval=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            default_scope='mmpretrain',
            experiment_name=f'classes_{tmp_path.name}_{len(list(tmp_path.glob("run/*")))}',
            log_level='INFO',
            **settings,
        )
        records = []
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: records.append(record.getMessage())
        runner.logger.addHandler(handler)
        getattr(runner, run)()
        return '\n'.join(records)

    return train


def test_names_in_another_order_than_the_folders(train, folders, teacher):
    data = folders('train', FLOWERS, classes=['tulip', 'rose', 'daisy'])
    with pytest.raises(ValueError, match='train_dataloader.dataset.classes: the images of') as got:
        train(data, checkpoint=teacher())
    assert "write `classes=['daisy', 'rose', 'tulip']`" in str(got.value)
    assert "class 0 are in the folder 'daisy', but `classes` calls it 'tulip'" in str(got.value)


def test_folders_are_sorted_as_texts(train, folders):
    numbers = [str(number) for number in range(11)]
    data = folders('train', numbers, classes=numbers)
    with pytest.raises(ValueError, match='class 2 are in the folder .10., but .* calls it .2.'):
        train(data, model=network(num_classes=11))


@pytest.mark.parametrize(
    'classes',
    [None, FLOWERS, ['Daisy', 'ROSE', 'tul-ip'], ['Gänseblümchen', 'Rose (Garten)', 'Tulpe']],
)
def test_names_that_do_not_contradict_the_folders(train, folders, teacher, classes):
    """Names to display are in the order of the folders, as those of ImageNet."""
    data = folders('train', FLOWERS, classes=classes)
    known = classes or FLOWERS
    assert 'classes' not in train(data, folders('val', FLOWERS), teacher(known))


@pytest.mark.parametrize(
    'wrap',
    [
        lambda data: dict(type='RepeatDataset', times=2, dataset=data),
        lambda data: dict(type='ConcatDataset', datasets=[data, data]),
        lambda data: dict(type='ClassBalancedDataset', oversample_thr=0.1, dataset=data),
        lambda data: dict(type='KFoldDataset', num_splits=3, dataset=data),
        lambda data: dict(
            type='RepeatDataset',
            times=2,
            dataset=dict(type='ConcatDataset', datasets=[data], lazy_init=False),
        ),
    ],
    ids=['repeat', 'concat', 'balanced', 'fold', 'nested'],
)
def test_wrapped_data_sets(train, folders, wrap):
    data = folders('train', FLOWERS, classes=['rose', 'daisy', 'tulip'])
    with pytest.raises(ValueError, match=r"write `classes=\['daisy', 'rose', 'tulip'\]`"):
        train(wrap(data), model=network())
    train(wrap(folders('train', FLOWERS)), model=network())


def test_annotation_files(train, annotated):
    labels = dict(rose=0, tulip=1, daisy=2)
    train(annotated('train', labels, classes=['rose', 'tulip', 'daisy']), model=network())
    wrong = annotated('train', labels, classes=FLOWERS)
    with pytest.raises(ValueError, match=r"`classes=\['rose', 'tulip', 'daisy'\]`"):
        train(wrong, model=network())


def test_a_folder_with_the_name_of_a_class(train, annotated):
    """As `train`, which is a class of CIFAR-100."""
    data = annotated('train', dict(tulip=0), classes=FLOWERS)
    train(data, model=network())


def test_validation_in_another_order(train, annotated, folders):
    val = annotated('val', dict(rose=0, tulip=1, daisy=2), classes=['rose', 'tulip', 'daisy'])
    with pytest.raises(ValueError, match='val_dataloader.dataset numbers the classes otherwise'):
        train(folders('train', FLOWERS), val, model=network())


@pytest.mark.parametrize('split', ['train', 'val'])
def test_a_missing_folder_shifts_the_classes(train, folders, split):
    less = folders(split, ['daisy', 'tulip'])
    more = folders('val' if split == 'train' else 'train', FLOWERS)
    data, val = (less, more) if split == 'train' else (more, less)
    with pytest.raises(ValueError, match=rf"{split}_dataloader.dataset lacks \['rose'\]"):
        train(data, val, model=network())


def test_a_missing_folder_below_the_same_names(train, folders):
    """The count is right, and so are the names, but not the folders."""
    data = folders('train', ['daisy', 'poppy', 'tulip'], classes=['a', 'b', 'c'])
    val = folders('val', ['poppy', 'rose', 'tulip'], classes=['a', 'b', 'c'])
    with pytest.raises(ValueError, match=r"lacks \['rose'\].*lacks \['daisy'\]"):
        train(data, val, model=network())


def test_the_last_folder_is_missing(train, folders):
    """No number is shifted."""
    found = train(folders('train', FLOWERS[:2]), folders('val', FLOWERS), model=network())
    assert "train_dataloader.dataset has no class ['tulip'], which val_dataloader" in found


def test_a_folder_too_few_is_named(train, folders):
    with pytest.raises(ValueError, match=r"2 folders, .* 3 names: no folder is called \['rose'\]"):
        train(folders('train', ['daisy', 'tulip'], classes=FLOWERS), model=network())


@pytest.mark.parametrize('old', [False, True], ids=['MMPretrain', 'MMClassification'])
def test_teacher_with_other_numbers(train, folders, teacher, old):
    path = teacher(['tulip', 'rose', 'daisy'], old)
    with pytest.raises(ValueError, match='model.teacher knows the classes in another order') as got:
        train(folders('train', FLOWERS), checkpoint=path)
    assert "class 0 of the teacher is 'tulip', which is class 2 of the data" in str(got.value)


def test_teacher_of_initial_weights(train, folders, teacher):
    """By MMRazor's own algorithm, too."""
    init = dict(type='Pretrained', checkpoint=teacher(['tulip', 'rose', 'daisy']))
    model = dict(
        KD,
        type='mmrazor.SingleTeacherDistill',
        architecture=network(),
        teacher=dict(network(), init_cfg=init),
    )
    with pytest.raises(ValueError, match='model.teacher knows the classes in another order'):
        train(folders('train', FLOWERS), model=model)
    model['teacher'] = network()
    model['teacher_ckpt'] = init['checkpoint']
    with pytest.raises(ValueError, match='model.teacher knows the classes in another order'):
        train(folders('train', FLOWERS), model=model)


def test_teacher_whose_names_are_unknown(train, folders, teacher):
    data = folders('train', FLOWERS)
    found = train(data, checkpoint=teacher())
    assert 'does not say which classes it knows: it must have been trained with' in found
    assert "['daisy', 'rose', 'tulip']" in found
    found = train(data, checkpoint=teacher(['Gänseblümchen', 'Klee', 'Tulpe']))
    assert 'model.teacher knows other names of classes than train_dataloader.dataset' in found


def test_test_data_of_other_numbers(train, folders, annotated, tmp_path):
    data = folders('train', FLOWERS)
    train(data, model=network())
    checkpoint = str(tmp_path / 'run/epoch_1.pth')
    assert 'classes' not in train(data, model=network(), run='test', load_from=checkpoint)
    other = annotated('test', dict(rose=0, tulip=1, daisy=2), classes=['rose', 'tulip', 'daisy'])
    with pytest.raises(ValueError, match='the checkpoint knows the classes in another order'):
        train(other, model=network(), run='test', load_from=checkpoint)


@pytest.mark.parametrize('label', [3, -1])
def test_labels_in_every_batch(train, annotated, label):
    """The first batch is right."""
    labels = dict(daisy=0, rose=1, tulip=label)
    data = annotated('train', labels)
    with pytest.raises(ValueError, match=f'train_dataloader: an image has the label {label}'):
        train(data, checkpoint=None)
    good = annotated('train', dict(daisy=0, rose=1, tulip=2))
    with pytest.raises(ValueError, match=f'val_dataloader: an image has the label {label}'):
        train(good, annotated('val', labels), model=network())


def test_labels_on_a_device_are_left_alone(train, folders):
    """To look at them would wait for the device; `meta` tensors cannot be looked at."""
    from amkd_mm.hooks.class_check_hook import ClassCheckHook

    hook = ClassCheckHook()
    hook.count = 3
    samples = [DataSample().set_gt_label(5)]
    with pytest.raises(ValueError, match='label 5'):
        hook.before_train_iter(None, 0, dict(data_samples=samples))
    samples[0].set_field(samples[0].gt_label.to('meta'), 'gt_label')
    hook.before_train_iter(None, 0, dict(data_samples=samples))


def test_every_runner_checks_once(train, folders, tmp_path):
    from amkd_mm.hooks.class_check_hook import ClassCheckHook

    compat.apply()
    config = dict(model=network(), work_dir=str(tmp_path), default_scope='mmpretrain')
    runner = Runner(**config, experiment_name=f'once_{tmp_path.name}')
    assert sum(isinstance(hook, ClassCheckHook) for hook in runner.hooks) == 1


def test_what_was_loaded_says_nothing_of_a_head_trained_since(train, folders, tmp_path):
    """Fine-tuning from a checkpoint of the same names in another order, or of others."""
    data = folders('train', FLOWERS, classes=FLOWERS)
    weights = MODELS.build(network()).state_dict()
    path = tmp_path / 'start.pth'
    torch.save(dict(meta=dict(dataset_meta=dict(classes=FLOWERS[::-1])), state_dict=weights), path)
    train(data, val=data, model=network(), load_from=str(path))


def test_self_supervised_networks_have_no_classes():
    backbone = dict(type='ResNet', depth=18)
    model = MODELS.build(
        dict(
            _scope_='mmpretrain',
            type='MoCo',
            queue_len=8,
            feat_dim=4,
            backbone=backbone,
            neck=dict(type='MoCoV2Neck', in_channels=512, hid_channels=8, out_channels=4),
            head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss')),
        )
    )
    hook = ClassCheckHook()
    hook.begin(types.SimpleNamespace(model=model))
    assert hook.count is None
    hook.begin(types.SimpleNamespace(model=MODELS.build(network(num_classes=7))))
    assert hook.count == 7
