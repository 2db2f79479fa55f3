"""Every training image has one number, under each wrapper; the pixels tell images apart."""

import multiprocessing

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset, pseudo_collate
from mmengine.hooks import Hook
from mmengine.model import BaseModule
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.engine import SwitchRecipeHook
from torch.utils.data import DataLoader

from amkd_mm.datasets.image_numbers import count_images

pytestmark = pytest.mark.usefixtures('mmpretrain_scope')

PIPELINE = [dict(type='PackInputs')]


@DATASETS.register_module()
class Noise(BaseDataset):
    """Images of noise, which are as good as different."""

    METAINFO = dict(classes=('a', 'b', 'c'))

    def __init__(self, seed=0, size=6, pipeline=PIPELINE, ann_file='', **kwargs):
        self.seed, self.size = seed, size
        super().__init__(ann_file=ann_file, pipeline=pipeline, **kwargs)

    def load_data_list(self):
        generator = np.random.default_rng(self.seed)
        images = generator.integers(0, 256, (self.size, 4, 4, 3), dtype=np.uint8)
        # Class 0 is rare, so that a ClassBalancedDataset repeats its images.
        return [dict(img=image, gt_label=int(i > 0) + i % 2) for i, image in enumerate(images)]

    def get_cat_ids(self, idx):
        return [self.get_data_info(idx)['gt_label']]


def noise(seed=0, size=6, **options):
    return dict(type='mmengine.Noise', seed=seed, size=size, **options)


def concat(*parts, **options):
    return dict(type='ConcatDataset', datasets=list(parts), **options)


def repeat(part, times=2, **options):
    return dict(type='RepeatDataset', dataset=part, times=times, **options)


def balance(part, **options):
    return dict(type='ClassBalancedDataset', dataset=part, oversample_thr=0.3, **options)


def fold(part, number=1):
    return dict(
        type='KFoldDataset', dataset=dict(part, lazy_init=False), fold=number, num_splits=3, seed=0
    )


# Config, its length, and how many images it shows.
WRAPPED = dict(
    plain=(noise(), 6, 6),
    unserialized=(concat(noise(0, serialize_data=False), noise(1, 3, serialize_data=False)), 9, 9),
    indices=(noise(indices=[5, 0, 3]), 3, 3),
    concat=(concat(noise(0), noise(1, 9), noise(2, 4)), 19, 19),
    repeat=(repeat(noise(), 3), 18, 6),
    balance=(balance(noise()), 7, 6),
    fold=(fold(noise()), 4, 4),
    concat_of_indices=(concat(noise(0, indices=2), noise(1, 9, indices=[8, 1, 2])), 5, 5),
    concat_of_folds=(concat(fold(noise(0)), fold(noise(1, 9), 2), noise(2, 2)), 12, 12),
    concat_of_repeats=(concat(repeat(noise(0)), balance(noise(1)), noise(2, 3)), 22, 15),
    repeat_of_concat=(repeat(concat(noise(0), noise(1, 9))), 30, 15),
    concat_of_concats=(
        concat(noise(0), concat(noise(1, 9), noise(2)), repeat(concat(noise(3), noise(4)))),
        45,
        33,
    ),
    lazy=(
        concat(
            noise(0, lazy_init=True),
            repeat(noise(1, 9, lazy_init=True), lazy_init=True),
            lazy_init=True,
        ),
        24,
        15,
    ),
)


def build(config):
    """As the Runner builds it."""
    dataset = DATASETS.build(config)
    dataset.full_init()
    return dataset


def numbers_of(batches):
    """Pixels of the images to the numbers that they were given, a set each."""
    found = {}
    for batch in batches:
        for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
            found.setdefault(image.numpy().tobytes(), set()).add(sample.sample_idx)
    return found


def check(found, images):
    """Each image has one number, and the numbers are 0 to N - 1."""
    assert len(found) == images
    assert all(len(numbers) == 1 for numbers in found.values())
    assert sorted(number for numbers in found.values() for number in numbers) == list(range(images))


@pytest.mark.parametrize('name', WRAPPED)
def test_every_image_has_one_number(name):
    config, length, images = WRAPPED[name]
    dataset = build(config)
    assert len(dataset) == length
    assert count_images(dataset) == images
    loader = DataLoader(dataset, batch_size=4, shuffle=True, collate_fn=pseudo_collate)
    check(numbers_of(loader), images)
    # What the information of an image says agrees with it.
    infos = [dataset.get_data_info(index) for index in range(length)]
    check(
        numbers_of(
            dict(inputs=[torch.from_numpy(i['img'])], data_samples=[_Sample(i)]) for i in infos
        ),
        images,
    )


class _Sample:
    def __init__(self, info):
        self.sample_idx = info['sample_idx']


def test_persistent_workers():
    dataset = build(WRAPPED['concat_of_concats'][0])
    options = dict(num_workers=2, persistent_workers=True, multiprocessing_context='fork')
    loader = DataLoader(dataset, batch_size=7, shuffle=True, collate_fn=pseudo_collate, **options)
    check(numbers_of([*loader, *loader]), 33)


@pytest.mark.slow  # A new interpreter imports everything.
def test_spawned_workers():
    digits = [dict(type='Digits', split=s, pipeline=PIPELINE) for s in ('train', 'test')]
    dataset = build(concat(*digits))
    # Some digits may be alike.
    expected = numbers_of([pseudo_collate([dataset[i] for i in range(len(dataset))])])
    context = multiprocessing.get_context('spawn')
    loader = DataLoader(
        dataset, 256, collate_fn=pseudo_collate, num_workers=1, multiprocessing_context=context
    )
    found = numbers_of(loader)
    assert found == expected
    assert set().union(*found.values()) == set(range(1797))


def test_a_part_that_becomes_another_data_set_is_numbered_anew():
    parts = [Noise(0), Noise(1, 9)]
    ConcatDataset(parts)
    alone = parts[1].get_subset([3, 4])
    assert [alone[i]['data_samples'].sample_idx for i in range(2)] == [0, 1]
    # The other way round.
    again = ConcatDataset(parts[::-1])
    check(numbers_of([pseudo_collate([again[i] for i in range(15)])]), 15)


def test_a_change_of_the_pipeline_keeps_the_numbers():
    """As by MMPretrain's SwitchRecipeHook in the middle of a training."""
    dataset = build(WRAPPED['concat'][0])

    class Loop:
        pass

    runner = Loop()
    runner.train_loop = Loop()
    runner.train_loop.dataloader = DataLoader(dataset, collate_fn=pseudo_collate)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        recipe = dict(action_epoch=1, train_pipeline=PIPELINE)
        hook = SwitchRecipeHook([recipe])
    before = [part.pipeline for part in dataset.datasets]
    hook._switch_train_pipeline(runner, hook.schedule[1]['train_pipeline'])
    assert all(a is not b.pipeline for a, b in zip(before, dataset.datasets, strict=True))
    check(numbers_of(runner.train_loop.dataloader), 19)


# --- The memory -----------------------------------------------------------------------------------


@MODELS.register_module()
class Pixels(BaseModule):
    """The pixels as features."""

    def forward(self, inputs):
        return (inputs.flatten(1),)


class Seen(Hook):
    """Keeps the batches of a training."""

    def __init__(self):
        self.batches = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches.append({key: list(values) for key, values in data_batch.items()})


def train(tmp_path, dataset, size, by_epoch=True):
    """Train by CRD with a memory of some size; returns its changed rows, and the batches."""

    def network():
        head = dict(type='LinearClsHead', num_classes=3, in_channels=48)
        backbone = dict(type='mmengine.Pixels')
        return dict(_scope_='mmpretrain', type='ImageClassifier', backbone=backbone, head=head)

    def feature(name):
        return dict(recorder='embedding', from_student=name == 'student', connector=name)

    embedding = dict(embedding=dict(type='Embedding'))
    distiller = dict(
        type='ConfigurableDistiller',
        student_recorders=dict(embedding, inputs=dict(type='ModuleInputs', source='')),
        teacher_recorders=embedding,
        distill_losses=dict(loss_crd=dict(type='CRDLoss', neg_num=4, sample_n=size, dim_out=8)),
        connectors={
            name: dict(type='CRDConnector', dim_in=48, dim_out=8) for name in ('student', 'teacher')
        },
        loss_forward_mappings=dict(
            loss_crd=dict(
                s_feats=feature('student'),
                t_feats=feature('teacher'),
                data_samples=dict(recorder='inputs', from_student=True, data_idx=1),
            )
        ),
    )
    sampler = 'DefaultSampler' if by_epoch else 'InfiniteSampler'
    length = dict(max_epochs=2) if by_epoch else dict(max_iters=12)
    seen = Seen()
    runner = Runner(
        model=dict(
            _scope_='mmrazor',
            type='SingleTeacherDistill',
            architecture=network(),
            teacher=network(),
            data_preprocessor=dict(
                type='mmpretrain.ClsDataPreprocessor', mean=[128.0] * 3, std=[64.0] * 3
            ),
            distiller=distiller,
        ),
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=5,
            # Workers of a training by iterations start before any hook is called.
            num_workers=int(not by_epoch),
            dataset=dataset,
            sampler=dict(type=sampler, shuffle=True),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=by_epoch, **length),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        default_hooks=dict(
            checkpoint=None, logger=None, image_memory=dict(type='mmrazor.ImageMemoryHook')
        ),
        custom_hooks=[seen],
        default_scope='mmpretrain',
        log_level='ERROR',
        experiment_name=f'memory_{tmp_path.name}',
    )
    memory = runner.model.distiller.distill_losses['loss_crd'].contrast.memory_v1
    before = memory.clone()
    runner.train()
    return (memory != before).any(1), seen.batches


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize('name', ['concat_of_repeats', 'balance', 'repeat_of_concat'])
def test_every_image_has_a_place_of_its_own_in_the_memory(name, by_epoch, tmp_path):
    config, _, images = WRAPPED[name]
    changed, batches = train(tmp_path, config, images, by_epoch)
    assert changed.all()
    check(numbers_of(batches), images)


@pytest.mark.parametrize('size', [14, 16])
def test_a_memory_of_another_size_is_refused(size, tmp_path):
    config, _, images = WRAPPED['repeat_of_concat']
    message = rf'model\.distiller\.distill_losses\.loss_crd\.sample_n is {size}.*set it to 15'
    with pytest.raises(ValueError, match=message):
        train(tmp_path, config, size)


def test_images_that_cannot_be_told_apart_are_refused(tmp_path):
    parts = torch.utils.data.ConcatDataset([Noise(0), Noise(1)])
    with pytest.raises(TypeError, match="sample_n: .*type='ConcatDataset'"):
        train(tmp_path, parts, 12)
